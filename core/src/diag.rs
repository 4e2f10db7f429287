//! Diagnostics to `log` and `defmt`, as the features select.

macro_rules! warning {
    ($format:literal $(, $arg:expr)* $(,)?) => {{
        #[cfg(feature = "log")]
        log::warn!($format $(, $arg)*);
        #[cfg(feature = "defmt")]
        defmt::warn!($format $(, defmt::Display2Format(&$arg))*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        { $(let _ = &$arg;)* }
    }};
}

macro_rules! note {
    ($format:literal $(, $arg:expr)* $(,)?) => {{
        #[cfg(feature = "log")]
        log::info!($format $(, $arg)*);
        #[cfg(feature = "defmt")]
        defmt::info!($format $(, defmt::Display2Format(&$arg))*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        { $(let _ = &$arg;)* }
    }};
}

pub(crate) use {note, warning};
