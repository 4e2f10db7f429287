//! Sizes of a storage in memory, fixed at construction.

use managed::ManagedSlice;

use super::Brick;
use super::arena::Extent;
use super::inode::{Entry, Inode, OpenInode, Xattr};
use super::pages::Page;

/// Sizes of a storage's tables. When one is full, clients get ENOSPC; if it is the buffers, they
/// wait. Nothing grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryLimits {
    /// Bricks. Each takes five inodes for its root and its own directories.
    pub bricks: u16,
    /// Files, directories and other inodes of all bricks.
    pub inodes: u32,
    /// Names in directories.
    pub entries: u32,
    /// Xattrs.
    pub xattrs: u32,
    /// Open files and directories: as many as the server's limit.
    pub files: u32,
    /// Pages of content.
    pub pages: u32,
    /// Bytes of each page.
    pub page_bytes: u32,
    /// Buffers for payloads being received and for long replies.
    pub buffers: u32,
    /// Bytes of all buffers: at least the server's
    /// `transfer_bytes`, a volfile, and twice `reply_bytes`.
    pub buffer_bytes: u32,
    /// Bytes of the longest list in a reply: xattrs, entries, the content of a small file.
    pub reply_bytes: u32,
}

impl MemoryLimits {
    /// For tests and simulations: 16 MiB of content, to go with
    /// [`ServerLimits::SMALL`](brickwire_core::server::ServerLimits::SMALL).
    pub const SMALL: MemoryLimits = MemoryLimits {
        bricks: 4,
        inodes: 1024,
        entries: 2048,
        xattrs: 2048,
        files: 64,
        pages: 4096,
        page_bytes: 4096,
        buffers: 32,
        buffer_bytes: 1024 * 1024,
        reply_bytes: 160 * 1024,
    };

    /// For a device that serves a few small files.
    pub const FIRMWARE: MemoryLimits = MemoryLimits {
        bricks: 1,
        inodes: 32,
        entries: 32,
        xattrs: 32,
        files: 16,
        pages: 128,
        page_bytes: 512,
        buffers: 4,
        buffer_bytes: 32 * 1024,
        reply_bytes: 4 * 1024,
    };
}

macro_rules! tables {
    ($($(#[$meta:meta])* $field:ident: $type:ty = $empty:expr, |$limits:ident| $count:expr;)+) => {
        /// The memory of a storage: lent by the caller, or owned
        /// (`MemoryTables::on_heap`, with the feature `alloc`).
        #[derive(Debug)]
        pub struct MemoryTables<'m> {
            $($(#[$meta])* pub $field: ManagedSlice<'m, $type>,)+
        }

        impl MemoryTables<'_> {
            /// The first table that is smaller than `limits` require: its name, the size it has,
            /// the size it needs.
            pub fn lacks(&self, limits: &MemoryLimits) -> Option<(&'static str, usize, usize)> {
                $({
                    let $limits = limits;
                    let needs: usize = $count;
                    if self.$field.len() < needs {
                        return Some((stringify!($field), self.$field.len(), needs));
                    }
                })+
                None
            }

            /// Bytes of all tables.
            pub fn bytes(&self) -> usize {
                0 $(+ core::mem::size_of_val(&self.$field[..]))+
            }
        }

        #[cfg(feature = "alloc")]
        impl MemoryTables<'static> {
            /// Tables on the heap, of the sizes in `limits`.
            pub fn on_heap(limits: &MemoryLimits) -> Self {
                Self {
                    $($field: ManagedSlice::Owned({
                        let $limits = limits;
                        alloc::vec![$empty; $count]
                    }),)+
                }
            }
        }
    };
}

tables! {
    /// Bricks.
    bricks: Option<Brick> = None, |limits| usize::from(limits.bricks);
    /// Inodes.
    inodes: Inode = Inode::EMPTY, |limits| limits.inodes as usize;
    /// Their order.
    inode_order: u32 = 0, |limits| limits.inodes as usize;
    /// Names.
    entries: Entry = Entry::EMPTY, |limits| limits.entries as usize;
    /// Entries sorted by name.
    entry_order: u32 = 0, |limits| limits.entries as usize;
    /// Entries sorted by cookie.
    cookie_order: u32 = 0, |limits| limits.entries as usize;
    /// Xattrs.
    xattrs: Xattr = Xattr::EMPTY, |limits| limits.xattrs as usize;
    /// Their order.
    xattr_order: u32 = 0, |limits| limits.xattrs as usize;
    /// Open files.
    files: OpenInode = OpenInode::EMPTY, |limits| limits.files as usize;
    /// Their order.
    file_order: u32 = 0, |limits| limits.files as usize;
    /// Owners of pages.
    pages: Page = Page::EMPTY, |limits| limits.pages as usize;
    /// Their order.
    page_order: u32 = 0, |limits| limits.pages as usize;
    /// The pages.
    page_bytes: u8 = 0, |limits| limits.pages as usize * limits.page_bytes as usize;
    /// Pieces of the buffers in use.
    extents: Extent = Extent::default(), |limits| limits.buffers as usize;
    /// The buffers.
    buffer_bytes: u8 = 0, |limits| limits.buffer_bytes as usize;
    /// Buffer for xdata of a reply.
    keys: u8 = 0, |limits| limits.reply_bytes as usize;
    /// Buffer for a list of a reply.
    list: u8 = 0, |limits| limits.reply_bytes as usize;
}
