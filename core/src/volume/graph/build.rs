//! Builds the nodes of a graph from a volfile.

use super::{Shape, replicate};
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
        let mut builder = Builder { volfile: &parsed, nodes, used: 0, limit, speaks_tls };
        let (top, sent_times) = skip_passive(parsed.top())?;
        builder.place(top, None, sent_times)?;
        // A node's children are placed when it is built, so each comes behind its parent.
        let mut at = 0;
        while at < builder.used {
            builder.build(at)?;
            at += 1;
        }
        let used = builder.used;
        self.write_pending_keys(half, len, used)?;
        let width = self.measure(half, used)?;
        Ok(Shape { nodes: used, top: 0, width, volfile_len: len as u32 })
    }

    /// Computes how many frames each node may need for a fop, from the bricks up. Fails if the
    /// tables cannot serve so many operations as there may be. Returns what the top needs.
    fn measure(&mut self, half: u8, used: u16) -> Result<u16, GraphError> {
        let nodes = self.context.nodes.graph_mut(half);
        let mut bricks = 0;
        for at in (0..usize::from(used)).rev() {
            let Some(node) = nodes.get(at).copied() else { continue };
            let children = usize::from(node.first_child)..;
            let below = children.take(usize::from(node.children)).filter_map(|at| nodes.get(at));
            let width = match node.kind {
                NodeKind::Client(_) | NodeKind::None => 0,
                // It forwards the frame itself.
                NodeKind::Distribute => below.map(|child| child.width).max().unwrap_or(0),
                NodeKind::Replicate(_) => below.map(|child| child.width.saturating_add(1)).sum(),
            };
            bricks += u32::from(matches!(node.kind, NodeKind::Client(_)));
            if let Some(node) = nodes.get_mut(at) {
                node.width = width;
            }
        }
        let width = nodes.first().map_or(0, |top| top.width);
        if width == 0 {
            self.context.transports.kept_calls = 1;
            return Ok(0);
        }
        // Each brick may be in a handshake, and so may those of the next graph.
        let kept_calls = bricks.saturating_mul(2).saturating_add(1);
        // An operation has a frame and those below it, which are reserved until it ends; and so has
        // its transaction.
        let ops = self.ops.capacity() as u32;
        let frames = self.context.frames.table.capacity() as u32;
        let files = self.context.files.capacity() as u32;
        let fds = self.context.fds.capacity() as u32;
        let calls = self.context.transports.calls.capacity() as u32;
        let needs = [
            (Table::Calls, calls, kept_calls.saturating_add(ops)),
            (Table::Frames, frames, ops.saturating_mul(1 + 4 * u32::from(width))),
            // Each file is open on each brick, and on the next graph too while graphs are
            // exchanged.
            (Table::Fds, fds, files.saturating_mul(bricks).saturating_mul(2)),
        ];
        match needs.into_iter().find(|(_, has, needs)| has < needs) {
            Some((table, has, needs)) => Err(GraphError::TooLarge { table, has, needs }),
            None => {
                self.context.transports.kept_calls = u16::try_from(kept_calls).unwrap_or(u16::MAX);
                Ok(width)
            }
        }
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
    volfile: &'a volfile::Volfile<'a>,
    nodes: &'n mut [Node],
    used: u16,
    /// Nodes that one graph may have.
    limit: usize,
    /// The adapter can speak TLS with bricks.
    speaks_tls: bool,
}

impl<'a> Builder<'a, '_> {
    /// Takes the next node for a translator, to be built later. `parent` is the parent's node and
    /// the place among its children.
    fn place(
        &mut self,
        view: volfile::Volume<'a>,
        parent: Option<(u16, u16)>,
        sent_times: SentTimes,
    ) -> Result<(), GraphError> {
        let needs = u32::from(self.used) + 1;
        let has = self.limit as u32;
        let too_large = GraphError::TooLarge { table: Table::Nodes, has, needs };
        let slot = self.nodes.get_mut(usize::from(self.used)).ok_or(too_large)?;
        *slot = Node {
            name: span(self.volfile.text(), view.name()),
            section: view.index(),
            parent: parent.map(|(node, _)| node),
            index: parent.map_or(0, |(_, index)| index),
            sent_times,
            ..Node::default()
        };
        self.used += 1;
        Ok(())
    }

    /// Builds the translator of a node and places its children.
    fn build(&mut self, at: u16) -> Result<(), GraphError> {
        let Some(node) = self.nodes.get(usize::from(at)).copied() else { return Ok(()) };
        let Some(view) = self.volfile.volume(node.section) else { return Ok(()) };
        let (kind, line) = (view.kind(), view.line());
        let has = u16::try_from(view.children().len()).unwrap_or(u16::MAX);
        let built = match kind {
            TranslatorKind::Client => NodeKind::Client(self.client(&view, node.sent_times)?),
            TranslatorKind::Distribute | TranslatorKind::Nufa | TranslatorKind::Switch => {
                if has != 1 {
                    return Err(GraphError::Children { kind, line, has });
                }
                NodeKind::Distribute
            }
            TranslatorKind::Replicate => {
                NodeKind::Replicate(replicate::options(self.volfile.text(), &view)?)
            }
            kind => return Err(GraphError::Unsupported { kind, line }),
        };
        let is_leaf = matches!(built, NodeKind::Client(_));
        let first_child = self.used;
        if !is_leaf {
            for (index, child) in (0..).zip(view.children()) {
                let (below, sent_times) = skip_passive(child)?;
                self.place(below, Some((at, index)), node.sent_times.max(sent_times))?;
            }
        }
        if let Some(slot) = self.nodes.get_mut(usize::from(at)) {
            slot.kind = built;
            slot.first_child = first_child;
            slot.children = self.used - first_child;
        }
        Ok(())
    }

    fn client(
        &self,
        view: &volfile::Volume<'a>,
        sent_times: SentTimes,
    ) -> Result<Client, GraphError> {
        let line = view.line();
        let source = self.volfile.text();
        let text = |key: &'static str| {
            // A host or path that is not text is refused as missing.
            let token = view.option(key).filter(|token| token.as_str().is_some());
            token.map(|token| span(source, token))
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
            sent_times,
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
            Some(token) => Ok(span(self.volfile.text(), token)),
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
pub(super) fn span(text: &[u8], token: Token<'_>) -> Span {
    let len = token.raw().len();
    debug_assert!(text.len() >= len);
    Span { at: token.offset(), len: len as u32 }
}
