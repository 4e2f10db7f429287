//! TLS settings of a brick.

use super::Span;
use crate::boundary::TlsSettings;

/// The texts of a brick's TLS options in the volfile; an empty one is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) own_cert: Span,
    pub(crate) private_key: Span,
    pub(crate) ca_list: Span,
    pub(crate) crl_path: Span,
    pub(crate) cipher_list: Span,
    pub(crate) cert_depth: Option<u16>,
}

impl Tls {
    /// The settings, with `text` as the volfile.
    pub(crate) fn settings<'v>(&self, text: &'v [u8]) -> TlsSettings<'v> {
        let of =
            |span: Span| core::str::from_utf8(span.of(text)).ok().filter(|value| !value.is_empty());
        TlsSettings {
            own_cert: of(self.own_cert),
            private_key: of(self.private_key),
            ca_list: of(self.ca_list),
            crl_path: of(self.crl_path),
            cipher_list: of(self.cipher_list),
            cert_depth: self.cert_depth,
        }
    }
}
