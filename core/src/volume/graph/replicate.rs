//! The options of `cluster/replicate`, and the keys of its counters
//! (docs/spec/10-replicate.md, "Volfile options").

use super::build::span;
use crate::volfile::{self, Token, TranslatorKind};
use crate::volume::machine::Machine;
use crate::volume::{GraphError, Table};
use crate::xlator::replicate::{CHILDREN_MAX, Quorum, Replicate};
use crate::xlator::{NodeKind, NodeRef, Span};

/// The xattr of the counters of an accused child, before the child's name.
const PENDING: &[u8] = b"trusted.afr.";
const DIRTY: &[u8] = b"trusted.afr.dirty";

/// Reads the options of a replicate.
pub(super) fn options(text: &[u8], view: &volfile::Volume<'_>) -> Result<Replicate, GraphError> {
    let (kind, line) = (TranslatorKind::Replicate, view.line());
    let count = view.children().len();
    if !(2..=CHILDREN_MAX).contains(&count) {
        return Err(GraphError::Children { kind, line, has: count as u16 });
    }
    let error = |key: &'static str| GraphError::Option { key, line };
    let flag = |key: &'static str, default: bool| match view.option(key) {
        Some(token) => token.to_bool().map_err(|_| error(key)),
        None => Ok(default),
    };
    let number = |key: &'static str, default: u64| match view.option(key) {
        Some(token) => token.to_seconds().map_err(|_| error(key)),
        None => Ok(default),
    };
    // A thin arbiter decides which copy is good; without it a wrong one might be read. Children
    // that answer slowly and count as absent (halo) would be accused of every change.
    for key in ["thin-arbiter", "halo-enabled"] {
        let is_off = view.option(key).is_none_or(|token| token.to_bool() == Ok(false));
        if !is_off {
            return Err(error(key));
        }
    }
    let quorum = match view.option("quorum-type") {
        None if count > 2 => Quorum::Auto,
        None => Quorum::None,
        Some(token) if token == "auto" => Quorum::Auto,
        Some(token) if token == "fixed" => {
            let needs = number("quorum-count", 0)?;
            Quorum::Fixed(u16::try_from(needs).unwrap_or(u16::MAX))
        }
        Some(token) if token == "none" => Quorum::None,
        Some(_) => return Err(error("quorum-type")),
    };
    let arbiter = match number("arbiter-count", 0)? {
        0 => false,
        1 if count == 3 => true,
        _ => return Err(error("arbiter-count")),
    };
    let eager = flag("eager-lock", true)?;
    let delay = number("post-op-delay-secs", 1)?.saturating_mul(1000);
    let delay_ms = if eager { u32::try_from(delay).unwrap_or(u32::MAX) } else { 0 };
    Ok(Replicate {
        count: count as u16,
        arbiter,
        quorum,
        delay_ms,
        optimistic: flag("optimistic-change-log", true)?,
        durable: flag("ensure-durability", true)?,
        granular: flag("granular-entry-heal", false)?,
        dirty_key: view
            .option("afr-dirty-xattr")
            .map(|token| span(text, token))
            .unwrap_or_default(),
        pending_names: view
            .option("afr-pending-xattr")
            .map(|token: Token<'_>| span(text, token))
            .unwrap_or_default(),
        ..Replicate::default()
    })
}

impl Machine<'_> {
    /// Writes the keys of the counters behind the text of a volfile, and notes where they are.
    pub(super) fn write_pending_keys(
        &mut self,
        half: u8,
        len: usize,
        used: u16,
    ) -> Result<(), GraphError> {
        let mut end = len;
        for node in 0..used {
            let at = NodeRef { graph: half, node };
            let Some(entry) = self.context.nodes.get(at).copied() else { continue };
            let NodeKind::Replicate(mut replicate) = entry.kind else { continue };
            for index in 0..replicate.count {
                let child = NodeRef { graph: half, node: entry.first_child + index };
                let name = self.pending_name(half, &replicate, child, index);
                let key = self.write_key(half, &mut end, name)?;
                if let Some(child) = self.context.nodes.get_mut(child) {
                    child.pending_key = key;
                }
            }
            if replicate.dirty_key.len == 0 {
                replicate.dirty_key = self.write_text(half, &mut end, DIRTY)?;
            }
            if let Some(entry) = self.context.nodes.get_mut(at) {
                entry.kind = NodeKind::Replicate(replicate);
            }
        }
        Ok(())
    }

    /// The name of a child in the keys: of the list that glusterd writes, or its own.
    fn pending_name(&self, half: u8, replicate: &Replicate, child: NodeRef, index: u16) -> Span {
        let text = self.context.volfiles.half(half);
        let list = replicate.pending_names;
        let mut at = list.at;
        for (place, name) in (0..).zip(list.of(text).split(|byte| *byte == b',')) {
            if place == index && !name.is_empty() {
                return Span { at, len: name.len() as u32 };
            }
            at += name.len() as u32 + 1;
        }
        self.context.nodes.get(child).map(|node| node.name).unwrap_or_default()
    }

    fn write_key(&mut self, half: u8, end: &mut usize, name: Span) -> Result<Span, GraphError> {
        let prefix = self.write_text(half, end, PENDING)?;
        let (from, len) = (name.at as usize, name.len as usize);
        let has = self.context.volfiles.size() as u32;
        let needs = (*end + len) as u32;
        if !self.context.volfiles.copy(half, from, *end, len) {
            return Err(GraphError::TooLarge { table: Table::VolfileBytes, has, needs });
        }
        *end += len;
        Ok(Span { at: prefix.at, len: prefix.len + len as u32 })
    }

    fn write_text(&mut self, half: u8, end: &mut usize, what: &[u8]) -> Result<Span, GraphError> {
        let text = self.context.volfiles.half_mut(half);
        let (has, needs) = (text.len() as u32, (*end + what.len()) as u32);
        let place = text.get_mut(*end..).and_then(|rest| rest.get_mut(..what.len()));
        place
            .ok_or(GraphError::TooLarge { table: Table::VolfileBytes, has, needs })?
            .copy_from_slice(what);
        let at = *end as u32;
        *end += what.len();
        Ok(Span { at, len: what.len() as u32 })
    }
}
