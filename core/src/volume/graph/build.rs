//! Builds the nodes of a graph from a volfile.

use super::Shape;
use crate::boundary::{Family, TcpSettings};
use crate::config::TlsUse;
use crate::volfile::{self, Token, TranslatorKind};
use crate::volume::machine::Machine;
use crate::volume::{GraphError, Table};
use crate::xlator::client::{Client, SentTimes, Tls};
use crate::xlator::{Node, NodeKind, Span};

impl Machine<'_> {
    /// Parses the volfile in buffer `half` and fills the nodes of that graph. Translators that pass
    /// every fop on unchanged get no node.
    pub(in crate::volume) fn assemble(
        &mut self,
        half: u8,
        len: usize,
    ) -> Result<Shape, GraphError> {
        let text = self.context.volfiles.half(half).get(..len).unwrap_or_default();
        let tables = volfile::Tables {
            volumes: &mut self.scratch.volumes,
            options: &mut self.scratch.options,
            children: &mut self.scratch.children,
        };
        let parsed = volfile::parse(text, tables, &volfile::Limits::default())
            .map_err(GraphError::Volfile)?;
        let limit = self.context.nodes.limit();
        let nodes = self.context.nodes.graph_mut(half);
        nodes.fill(Node::default());
        let speaks_tls = self.context.config.tls != TlsUse::None;
        let sent_times = SentTimes::None;
        let mut builder = Builder { text, nodes, used: 0, sent_times, limit, speaks_tls };
        let (top, sent_times) = skip_passive(parsed.top())?;
        builder.sent_times = sent_times;
        builder.add(top)?;
        Ok(Shape { nodes: builder.used, top: 0, volfile_len: len as u32 })
    }
}

/// Translators that a client may leave out: they cache, schedule or report
/// (docs/spec/02-volfile.md, "Which translators appear in client volfiles").
fn passes_through(kind: TranslatorKind) -> bool {
    use TranslatorKind as K;
    matches!(
        kind,
        K::IoStats
            | K::IoThreads
            | K::MdCache
            | K::NlCache
            | K::QuickRead
            | K::OpenBehind
            | K::IoCache
            | K::ReaddirAhead
            | K::ReadAhead
            | K::WriteBehind
            | K::Quota
            | K::Quiesce
            | K::Trace
            | K::ErrorGen
            | K::DelayGen
            | K::SnapviewClient
            | K::Utime
    )
}

/// Follows the only child of each translator that is left out, from `at` on. Returns the first one
/// that is not, and the timestamps that `features/utime`, if it was among them, has clients send.
fn skip_passive(at: volfile::Volume<'_>) -> Result<(volfile::Volume<'_>, SentTimes), GraphError> {
    let mut here = at;
    let mut sent_times = SentTimes::None;
    loop {
        let kind = here.kind();
        if !passes_through(kind) {
            return Ok((here, sent_times));
        }
        if kind == TranslatorKind::Utime {
            let noatime = here.option("noatime").is_none_or(is_on);
            sent_times = sent_times.max(SentTimes::of(noatime));
        }
        let mut children = here.children();
        let count = children.len();
        let first = children.next();
        let only = count == 1 || (kind == TranslatorKind::SnapviewClient && count >= 1);
        let Some(first) = first.filter(|_| only) else {
            return Err(GraphError::Children { kind, line: here.line(), has: count as u16 });
        };
        here = first;
    }
}

/// Fills the nodes of a graph.
struct Builder<'a, 'n> {
    text: &'a [u8],
    nodes: &'n mut [Node],
    used: u16,
    sent_times: SentTimes,
    limit: usize,
    /// The adapter can speak TLS with bricks.
    speaks_tls: bool,
}

impl<'a> Builder<'a, '_> {
    /// Adds a translator and those below it. Translators of several children are not supported yet,
    /// so a graph is a line and needs no recursion.
    fn add(&mut self, top: volfile::Volume<'a>) -> Result<(), GraphError> {
        let mut here = top;
        let mut parent = None;
        loop {
            let (kind, line) = (here.kind(), here.line());
            let node = match kind {
                TranslatorKind::Client => NodeKind::Client(self.client(&here)?),
                TranslatorKind::Distribute | TranslatorKind::Nufa | TranslatorKind::Switch
                    if here.children().len() == 1 =>
                {
                    NodeKind::Distribute
                }
                TranslatorKind::Distribute | TranslatorKind::Nufa | TranslatorKind::Switch => {
                    let has = u16::try_from(here.children().len()).unwrap_or(u16::MAX);
                    return Err(GraphError::Children { kind, line, has });
                }
                kind => return Err(GraphError::Unsupported { kind, line }),
            };
            let is_leaf = matches!(node, NodeKind::Client(_));
            let at = self.used;
            let needs = u32::from(at) + 1;
            let too_large =
                GraphError::TooLarge { table: Table::Nodes, has: self.limit as u32, needs };
            let slot = self.nodes.get_mut(usize::from(at)).ok_or(too_large)?;
            *slot = Node {
                kind: node,
                name: span(self.text, here.name()),
                parent,
                first_child: at + 1,
                up: false,
                event: None,
            };
            self.used += 1;
            if is_leaf {
                return Ok(());
            }
            let Some(child) = here.children().next() else {
                return Err(GraphError::Children { kind, line, has: 0 });
            };
            let (below, sent_times) = skip_passive(child)?;
            self.sent_times = self.sent_times.max(sent_times);
            here = below;
            parent = Some(at);
        }
    }

    fn client(&self, view: &volfile::Volume<'a>) -> Result<Client, GraphError> {
        let line = view.line();
        let text = |key: &'static str| {
            // A host or path that is not text is refused as missing.
            let token = view.option(key).filter(|token| token.as_str().is_some());
            token.map(|token| span(self.text, token))
        };
        let number = |key: &'static str, default: u64| match view.option(key) {
            Some(token) => token.to_seconds().map_err(|_| GraphError::Option { key, line }),
            None => Ok(default),
        };
        let required = |key: &'static str| text(key).ok_or(GraphError::Option { key, line });
        if let Some(transport) = view.option("transport-type")
            && !(transport == "tcp" || transport == "socket")
        {
            return Err(GraphError::Option { key: "transport-type", line });
        }
        let ssl = "transport.socket.ssl-enabled";
        let tls = match view.option(ssl).map(|token| token.to_bool()) {
            None | Some(Ok(false)) => None,
            Some(Ok(true)) if self.speaks_tls => Some(self.tls(view)?),
            // A volume that asks for TLS is never spoken to without. A value that cannot be read
            // may ask for it.
            Some(_) => return Err(GraphError::Option { key: ssl, line }),
        };
        let family = match view.option("transport.address-family") {
            Some(token) if token == "inet" => Family::Inet,
            Some(token) if token == "inet6" => Family::Inet6,
            _ => Family::Any,
        };
        let small = |key, default| {
            number(key, default).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
        };
        Ok(Client {
            host: required("remote-host")?,
            subvolume: required("remote-subvolume")?,
            username: text("username"),
            password: text("password"),
            fixed_port: small("remote-port", 0)?,
            family,
            tcp: TcpSettings {
                keepalive_time_s: small("transport.socket.keepalive-time", 20)?,
                keepalive_interval_s: small("transport.socket.keepalive-interval", 2)?,
                keepalive_count: small("transport.socket.keepalive-count", 9)?,
                user_timeout_s: small("transport.tcp-user-timeout", 0)?,
            },
            tls,
            ping_timeout_ms: u32::try_from(number("ping-timeout", 42)?.saturating_mul(1000))
                .unwrap_or(u32::MAX),
            filter_direct: view.option("filter-O_DIRECT").is_some_and(is_on),
            sends_groups: view.option("send-gids").is_none_or(is_on),
            sent_times: self.sent_times,
            ..Client::default()
        })
    }
}

impl<'a> Builder<'a, '_> {
    /// The TLS options of a brick. One that is not text is refused: without it another file would
    /// be used.
    fn tls(&self, view: &volfile::Volume<'a>) -> Result<Tls, GraphError> {
        let line = view.line();
        let text = |key: &'static str| match view.option(key) {
            Some(token) if token.as_str().is_none() => Err(GraphError::Option { key, line }),
            Some(token) => Ok(span(self.text, token)),
            None => Ok(Span::default()),
        };
        let key = "transport.socket.ssl-cert-depth";
        let depth = |token: Token<'_>| u16::try_from(token.to_seconds().ok()?).ok();
        let cert_depth = match view.option(key) {
            Some(token) => Some(depth(token).ok_or(GraphError::Option { key, line })?),
            None => None,
        };
        Ok(Tls {
            own_cert: text("transport.socket.ssl-own-cert")?,
            private_key: text("transport.socket.ssl-private-key")?,
            ca_list: text("transport.socket.ssl-ca-list")?,
            crl_path: text("transport.socket.ssl-crl-path")?,
            cipher_list: text("transport.socket.ssl-cipher-list")?,
            cert_depth,
        })
    }
}

fn is_on(token: Token<'_>) -> bool {
    token.to_bool().unwrap_or(false)
}

/// The place of a token in the text. A token with escapes keeps them; the names that glusterd
/// writes have none.
fn span(text: &[u8], token: Token<'_>) -> Span {
    let len = token.raw().len();
    debug_assert!(text.len() >= len);
    Span { at: token.offset(), len: len as u32 }
}
