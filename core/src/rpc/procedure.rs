//! Programs and their procedures (docs/spec/01-wire.md, "Programs and procedures").

/// Program numbers and versions.
pub mod program {
    /// DUMP: the list of programs, and PING.
    pub const DUMP: u32 = 123_451_501;
    /// The handshake: GETSPEC at glusterd, SETVOLUME at bricks.
    pub const HANDSHAKE: u32 = 14_398_633;
    /// The portmapper: the port of a brick.
    pub const PORTMAP: u32 = 34_123_456;
    /// File operations.
    pub const FOP: u32 = 1_298_437;
    /// The supported version of the fop program.
    pub const FOP_V400: u32 = 400;
    /// Requests of glusterd to bricks and daemons.
    pub const BRICK_OP: u32 = 4_867_634;
    /// Calls from servers to their clients.
    pub const CALLBACK: u32 = 52_743_234;
}

/// One procedure of one version of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Procedure {
    /// Program number.
    pub program: u32,
    /// Version.
    pub version: u32,
    /// Procedure number.
    pub number: u32,
}

impl Procedure {
    const fn new(program: u32, version: u32, number: u32) -> Self {
        Self { program, version, number }
    }

    /// DUMP: the peer's programs.
    pub const DUMP: Procedure = Self::new(program::DUMP, 1, 1);
    /// PING (which is a procedure of DUMP).
    pub const PING: Procedure = Self::new(program::DUMP, 1, 2);
    /// SETVOLUME: names the brick to a brick process.
    pub const SETVOLUME: Procedure = Self::new(program::HANDSHAKE, 2, 1);
    /// GETSPEC: fetches the volfile.
    pub const GETSPEC: Procedure = Self::new(program::HANDSHAKE, 2, 2);
    /// SET_LK_VER: obsolete.
    pub const SET_LK_VER: Procedure = Self::new(program::HANDSHAKE, 2, 4);
    /// GET_VOLUME_INFO: the volume's id.
    pub const GET_VOLUME_INFO: Procedure = Self::new(program::HANDSHAKE, 2, 6);
    /// PORTBYBRICK: the port of a brick.
    pub const PORTBYBRICK: Procedure = Self::new(program::PORTMAP, 1, 1);

    /// TRANSLATOR_OP: a request to translators of a daemon.
    pub const TRANSLATOR_OP: Procedure = Self::new(program::BRICK_OP, 2, 3);

    /// A file operation by its number on the wire.
    pub const fn fop(number: u32) -> Procedure {
        Self::new(program::FOP, program::FOP_V400, number)
    }

    /// A callback by its number.
    pub const fn callback(number: u32) -> Procedure {
        Self::new(program::CALLBACK, 1, number)
    }

    /// Whether this is GETSPEC, whose reply is gathered in a volfile buffer.
    pub const fn is_getspec(self) -> bool {
        self.program == Self::GETSPEC.program && self.number == Self::GETSPEC.number
    }
}
