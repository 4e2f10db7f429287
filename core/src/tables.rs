//! Lists of tables. A `tables!` list names each table once, with its element and its size, and
//! makes of it the memory of a client or server: lent, on the heap, or in a static.

use managed::ManagedSlice;

/// Makes the types of a list of tables. A table is one line: `name: element = kind(empty element),
/// |limits| number of elements;`. The kinds are the modules `filled` and `slots`. The first token
/// is a `$`, which the macro for statics is written with.
macro_rules! tables {
    (
        $dollar:tt
        $(#[$about:meta])*
        $memory:ident for $limits_type:ident, $counts:ident, $module:ident,
        $in_static:ident!($small:ident);
        $(
            $(#[$meta:meta])*
            $field:ident: $type:ty = $kind:ident($empty:expr), |$limits:ident| $count:expr;
        )+
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $memory<'m> {
            $($(#[$meta])* pub $field: ManagedSlice<'m, $type>,)+
        }

        #[doc = concat!("Number of elements of each table of [`", stringify!($memory), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $counts {
            $($(#[$meta])* pub $field: usize,)+
        }

        impl $limits_type {
            /// The number of elements that each table needs.
            pub const fn counts(&self) -> $counts {
                $counts {
                    $($field: {
                        let $limits = self;
                        $count
                    },)+
                }
            }
        }

        impl $memory<'_> {
            /// The first table that is smaller than `limits` need: its name, the elements it has,
            /// and those it needs.
            pub fn lacks(&self, limits: &$limits_type) -> Option<(&'static str, usize, usize)> {
                let needs = limits.counts();
                $({
                    let has = crate::tables::$kind::room(&self.$field);
                    if has < needs.$field {
                        return Some((stringify!($field), has, needs.$field));
                    }
                })+
                None
            }

            /// Cuts all tables to the sizes that `limits` need, so that an index means the same in
            /// each of them.
            pub(crate) fn cut(self, limits: &$limits_type) -> Self {
                let needs = limits.counts();
                Self { $($field: crate::tables::cut(self.$field, needs.$field),)+ }
            }

            /// Bytes of all tables together.
            pub fn bytes(&self) -> usize {
                0 $(+ crate::tables::$kind::room(&self.$field) * core::mem::size_of::<$type>())+
            }
        }

        #[cfg(feature = "alloc")]
        impl $memory<'static> {
            /// Tables on the heap, of the sizes that `limits` need.
            pub fn on_heap(limits: &$limits_type) -> Self {
                let needs = limits.counts();
                Self {
                    $($field: ManagedSlice::Owned(
                        crate::tables::$kind::on_heap($empty, needs.$field),
                    ),)+
                }
            }
        }

        /// The element of each table, under the table's name: the macro below is used where the
        /// types that the list names are not in scope.
        #[cfg(feature = "static-memory")]
        #[allow(missing_docs, non_camel_case_types)]
        pub mod $module {
            use super::*;
            $(
                pub type $field = $type;
                pub fn $field() -> $type {
                    $empty
                }
            )+
        }

        #[doc = concat!(
            "Tables in a static, of the sizes that constant [`", stringify!($limits_type),
            "`](crate::memory::", stringify!($limits_type), ") need: a [`", stringify!($memory),
            "<'static>`](crate::memory::", stringify!($memory), ")."
        )]
        ///
        /// Each place in the source that calls the macro has a static of its own, and gets it once:
        /// `Some` the first time, `None` from then on. The tables lie in `.bss`, so they take no
        /// flash, and they are filled where they lie.
        ///
        /// ```
        #[doc = concat!(
            "use brickwire_core::memory::{", stringify!($memory), ", ", stringify!($limits_type),
            "};"
        )]
        ///
        #[doc = concat!(
            "const LIMITS: ", stringify!($limits_type), " = ", stringify!($limits_type), "::",
            stringify!($small), ";"
        )]
        #[doc = concat!(
            "fn tables() -> Option<", stringify!($memory), "<'static>> { brickwire_core::",
            stringify!($in_static), "!(LIMITS) }"
        )]
        ///
        /// let memory = tables().unwrap();
        /// assert!(memory.lacks(&LIMITS).is_none());
        /// assert!(tables().is_none(), "it has been handed out");
        /// ```
        #[cfg(feature = "static-memory")]
        #[macro_export]
        macro_rules! $in_static {
            ($dollar limits:expr) => {{
                const __COUNTS: $crate::memory::$counts = ($dollar limits).counts();
                struct __Tables {
                    $($field: $crate::memory::Table<
                        $crate::memory::$module::$field,
                        { __COUNTS.$field },
                    >,)+
                }
                static __TABLES: $crate::memory::ConstStaticCell<__Tables> =
                    $crate::memory::ConstStaticCell::new(__Tables {
                        $($field: $crate::memory::Table::new(),)+
                    });
                __TABLES.try_take().map(|tables| $crate::memory::$memory {
                    $($field: $crate::memory::fill(
                        &mut tables.$field,
                        $crate::memory::$module::$field,
                    ),)+
                })
            }};
        }
    };
}

pub(crate) use tables;

/// The first `count` elements of a table.
pub(crate) fn cut<T>(table: ManagedSlice<'_, T>, count: usize) -> ManagedSlice<'_, T> {
    match table {
        ManagedSlice::Borrowed(table) => {
            ManagedSlice::Borrowed(table.get_mut(..count).unwrap_or_default())
        }
        #[cfg(feature = "alloc")]
        ManagedSlice::Owned(mut table) => {
            table.truncate(count);
            // Capacity for more elements would become more slots.
            table.shrink_to(count);
            ManagedSlice::Owned(table)
        }
    }
}

/// Tables whose elements are used in place.
pub(crate) mod filled {
    use managed::ManagedSlice;

    pub(crate) fn room<T>(table: &ManagedSlice<'_, T>) -> usize {
        table.len()
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn on_heap<T: Clone>(empty: T, count: usize) -> alloc::vec::Vec<T> {
        alloc::vec![empty; count]
    }
}

/// Tables of slots, which are constructed when they are first used: memory of unused slots is never
/// touched.
pub(crate) mod slots {
    pub(crate) use crate::slab::room;

    #[cfg(feature = "alloc")]
    pub(crate) fn on_heap<T>(_empty: T, count: usize) -> alloc::vec::Vec<T> {
        alloc::vec::Vec::with_capacity(count)
    }
}

/// A table in a static. Its elements are not made at compile time: an empty element is seldom all
/// zeroes, so the table would be copied from flash.
#[cfg(feature = "static-memory")]
pub type Table<T, const N: usize> = heapless::Vec<T, N>;

/// Fills a table, and lends it.
#[cfg(feature = "static-memory")]
pub fn fill<T, const N: usize>(
    table: &mut Table<T, N>,
    empty: impl Fn() -> T,
) -> ManagedSlice<'_, T> {
    while table.push(empty()).is_ok() {}
    ManagedSlice::Borrowed(table)
}
