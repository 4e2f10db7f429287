//! Dictionaries: the typed one of program version 400, and the older one of the bootstrap
//! (docs/spec/01-wire.md, "Dictionaries").

mod legacy;
mod typed;
mod value;

pub use legacy::{LegacyDict, LegacyPair, put_legacy};
pub use typed::{Dict, Pair, Pairs};
pub use value::{Mdata, Value};

/// The most bytes of a dictionary.
const DICT_MAX: usize = 4 << 20;
/// The most pairs.
const PAIRS_MAX: u32 = 4096;
/// The most bytes of a key.
const KEY_MAX: usize = 4096;
