//! What the process has for itself.

/// Pages that no other process shares, now: what ends when the process does.
pub(crate) fn private_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let kib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
    };
    (kib("Private_Clean:") + kib("Private_Dirty:")) / 1024.0
}
