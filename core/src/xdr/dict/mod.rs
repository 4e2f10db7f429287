//! Dictionaries: the typed one of program version 400, and the older one of the bootstrap
//! (docs/spec/01-wire.md, "Dictionaries").

mod legacy;
mod typed;
mod value;

pub use legacy::{LegacyDict, LegacyPair, put_legacy};
pub use typed::{Dict, Pair, Pairs};
pub use value::{Mdata, Value};

/// Bytes of a dictionary at most.
const DICT_MAX: usize = 4 << 20;
/// Pairs at most.
const PAIRS_MAX: u32 = 4096;
/// Bytes of a key at most.
const KEY_MAX: usize = 4096;
