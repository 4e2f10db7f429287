//! URIs: one that parses is printed as text that parses to the same URI.
#![no_main]

use brickwire_core::uri::Uri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(uri) = Uri::parse(text) {
        let again = uri.to_string();
        assert_eq!(Uri::parse(&again).as_ref(), Ok(&uri), "{text} as {again}");
    }
});
