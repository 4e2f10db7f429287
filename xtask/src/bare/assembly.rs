//! Functions in a compiler's assembly: their calls and their stack.

use std::collections::{BTreeMap, BTreeSet};

/// One function.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Function {
    /// Bytes of its frame.
    pub(super) stack: u64,
    /// The functions that it calls or jumps to, once for each place.
    pub(super) calls: Vec<String>,
}

/// The functions of an assembly file, by their symbols.
pub(super) struct Assembly {
    functions: BTreeMap<String, Function>,
    /// Static variables that are copied from flash at start, and their bytes.
    pub(super) data: BTreeMap<String, u64>,
}

impl Assembly {
    /// Reads what rustc writes for ARM with `--emit=asm -Zemit-stack-sizes`.
    pub(super) fn parse(text: &str) -> Self {
        let mut assembly = Self { functions: BTreeMap::new(), data: BTreeMap::new() };
        let mut section = "";
        let mut current = String::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            match first {
                ".section" => section = second.split(',').next().unwrap_or(""),
                ".ascii" | ".byte" if section == ".stack_sizes" => {
                    assembly.function(&current).stack = uleb(line.trim_start());
                }
                ".size" if section.starts_with(".data") => {
                    let name = second.trim_end_matches(',').to_owned();
                    let bytes = words.next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
                    assembly.data.insert(name, bytes);
                }
                _ if is_branch(first) && !second.starts_with(".L") => {
                    assembly.function(&current).calls.push(second.to_owned());
                }
                label if section.starts_with(".text") && !label.starts_with(".L") => {
                    if let Some(label) = label.strip_suffix(':') {
                        label.clone_into(&mut current);
                        assembly.function(label);
                    }
                }
                _ => {}
            }
        }
        assembly
    }

    fn function(&mut self, symbol: &str) -> &mut Function {
        self.functions.entry(symbol.to_owned()).or_default()
    }

    /// The calls to functions that panic, without those among themselves: the caller, and the
    /// number of such calls.
    pub(super) fn panics(&self) -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        for (symbol, function) in self.functions.iter().filter(|(symbol, _)| !panics(symbol)) {
            let panics = function.calls.iter().filter(|callee| panics(callee)).count();
            if panics > 0 {
                found.insert(symbol.as_str(), panics);
            }
        }
        found
    }

    /// The symbols that begin with `prefix`.
    pub(super) fn named(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// Stack of the deepest chain of calls from `symbol` on. A recursion counts once, a call
    /// through a pointer not at all.
    pub(super) fn deepest(&self, symbol: &str) -> u64 {
        self.deepest_of(symbol, &mut BTreeSet::new(), &mut BTreeMap::new())
    }

    fn deepest_of<'a>(
        &'a self,
        symbol: &'a str,
        above: &mut BTreeSet<&'a str>,
        known: &mut BTreeMap<&'a str, u64>,
    ) -> u64 {
        if let Some(depth) = known.get(symbol) {
            return *depth;
        }
        let Some(function) = self.functions.get(symbol) else { return 0 };
        if !above.insert(symbol) {
            return 0;
        }
        let below = function.calls.iter().map(|callee| self.deepest_of(callee, above, known)).max();
        above.remove(symbol);
        let depth = function.stack + below.unwrap_or(0);
        known.insert(symbol, depth);
        depth
    }
}

/// Branches with and without link, and conditional ones.
fn is_branch(mnemonic: &str) -> bool {
    let mnemonic = mnemonic.strip_suffix(".w").unwrap_or(mnemonic);
    let conditions = ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt"];
    matches!(mnemonic, "b" | "bl")
        || mnemonic.strip_prefix('b').is_some_and(|condition| {
            conditions.contains(&condition) || ["gt", "le"].contains(&condition)
        })
}

/// Is it a function of `core` that panics, or one that formats the message of a panic? By the parts
/// of a mangled path.
fn panics(symbol: &str) -> bool {
    let parts = [
        "4core9panicking",
        "16slice_index_fail",
        "17len_mismatch_fail",
        "13unwrap_failed",
        "13expect_failed",
        "rust_begin_unwind",
    ];
    parts.iter().any(|part| symbol.contains(part))
}

/// The number in a line such as `.byte 72` or `.ascii "\230\004"` (unsigned LEB128).
fn uleb(line: &str) -> u64 {
    let number = |text: &str| text.trim().parse().unwrap_or(0);
    let Some(text) = line.strip_prefix(".ascii") else {
        return number(line.trim_start_matches(".byte"));
    };
    let mut bytes = Vec::new();
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            bytes.push(letter as u64);
            continue;
        }
        let mut octal = None;
        for _ in 0..3 {
            let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(8)) else { break };
            octal = Some(octal.unwrap_or(0) * 8 + u64::from(digit));
            rest.next();
        }
        bytes.push(octal.unwrap_or_else(|| match rest.next() {
            Some('b') => 8,
            Some('t') => 9,
            Some('n') => 10,
            Some('f') => 12,
            Some('r') => 13,
            other => other.map_or(0, |letter| letter as u64),
        }));
    }
    bytes.iter().rev().fold(0, |number, byte| number << 7 | byte & 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\t.section\t.text.probe_a,\"ax\",%progbits
probe_a:
.Lfunc_begin0:
\tpush\t{r7, lr}
\tbl\t_RNvC5crate5inner
\tbeq.w\t_RNvC5crate5inner
\tblo\t.LBB0_1
\tb\t_RNvNtC4core9panicking18panic_bounds_check
.LBB0_1:
\tbls\t.LBB0_1
.Lfunc_end0:
\t.section\t.stack_sizes,\"o\",%progbits,.text.probe_a
\t.long\t.Lfunc_begin0
\t.ascii\t\"\\230\\004\"
\t.section\t.text._RNvC5crate5inner,\"ax\",%progbits
_RNvC5crate5inner:
\tbl\t_RNvC5crate5inner
\tbl\t_RNvC5crate13flush_failed
\t.section\t.stack_sizes,\"o\",%progbits,.text._RNvC5crate5inner
\t.byte\t72
\t.section\t.data.TABLE,\"aw\",%progbits
TABLE:
\t.asciz\t\"text\"
\t.size\tTABLE, 1888
";

    #[test]
    fn calls_frames_and_panics_are_read_from_assembly() {
        let assembly = Assembly::parse(SAMPLE);
        assert_eq!(assembly.named("probe_").collect::<Vec<_>>(), ["probe_a"]);
        assert_eq!(assembly.functions["probe_a"].stack, 536);
        assert_eq!(assembly.functions["probe_a"].calls.len(), 3);
        assert_eq!(assembly.deepest("probe_a"), 536 + 72);
        assert_eq!(assembly.panics(), BTreeMap::from([("probe_a", 1)]));
        assert_eq!(assembly.data, BTreeMap::from([("TABLE".to_owned(), 1888)]));
    }

    #[test]
    fn numbers_with_escapes_are_read() {
        assert_eq!(uleb(".ascii\t\"\\230\\004\""), 0x218);
        assert_eq!(uleb(".ascii\t\"\\260\\t\""), 0x4b0);
        assert_eq!(uleb(".ascii\t\"\\200\\\"\""), 0x1100);
        assert_eq!(uleb(".ascii\t\"\\3203\""), 0x19d0);
        assert_eq!(uleb(".byte\t8"), 8);
    }
}
