//! Comments of Rust files and prose of Markdown files, as paragraphs.

use crate::tree::File;

/// Text that is read as one: lines of a comment or of Markdown, without their markers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paragraph {
    /// Line number and text of each line.
    pub(crate) lines: Vec<(usize, String)>,
    /// A Markdown heading.
    pub(crate) heading: bool,
}

impl Paragraph {
    /// The text on one line.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|(_, text)| text.trim()).collect::<Vec<_>>().join(" ")
    }

    /// Line number of the byte `at` of [`Self::text`].
    pub(crate) fn line_at(&self, at: usize) -> usize {
        let mut end = 0;
        for (line, text) in &self.lines {
            end += text.trim().len() + 1;
            if at < end {
                return *line;
            }
        }
        self.lines.last().map_or(0, |(line, _)| *line)
    }
}

/// All prose of a file: comments of Rust, everything but code and tables of Markdown.
pub(crate) fn prose(file: &File) -> Vec<Paragraph> {
    if file.is_markdown() {
        let lines = file.text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned()));
        return paragraphs(lines.collect());
    }
    let mut all = Vec::new();
    let mut block: Vec<(usize, String)> = Vec::new();
    let mut marker = "";
    for comment in split(&file.text).comments {
        let follows = block.last().is_some_and(|(line, _)| line + 1 == comment.line);
        if !follows || marker != comment.marker || !comment.own_line {
            all.extend(paragraphs(std::mem::take(&mut block)));
        }
        marker = comment.marker;
        block.push((comment.line, comment.text));
    }
    all.extend(paragraphs(block));
    all
}

fn paragraphs(lines: Vec<(usize, String)>) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut current: Vec<(usize, String)> = Vec::new();
    let mut fenced = false;
    for (number, line) in lines {
        let text = line.trim();
        let fence = text.starts_with("```");
        let heading = text.starts_with('#');
        let apart = text.is_empty() || text.starts_with('|') || heading || fence || fenced;
        let item = list_item(text);
        if (apart || item.is_some()) && !current.is_empty() {
            all.push(Paragraph { lines: std::mem::take(&mut current), heading: false });
        }
        fenced ^= fence;
        if heading && !fenced {
            let title = text.trim_start_matches('#').trim();
            all.push(Paragraph { lines: vec![(number, title.into())], heading: true });
        } else if !apart {
            current.push((number, item.unwrap_or(text).to_owned()));
        }
    }
    if !current.is_empty() {
        all.push(Paragraph { lines: current, heading: false });
    }
    all
}

/// The text of a list's item, without its bullet or number.
fn list_item(text: &str) -> Option<&str> {
    for bullet in ["- ", "* ", "+ "] {
        if let Some(rest) = text.strip_prefix(bullet) {
            return Some(rest);
        }
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then(|| rest.strip_prefix(". ")).flatten()
}

/// A line comment.
#[derive(Debug)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    pub(crate) marker: &'static str,
    pub(crate) text: String,
    /// No code stands before it on its line.
    pub(crate) own_line: bool,
}

/// A Rust file taken apart.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) comments: Vec<Comment>,
    /// The code: comments and the content of literals are left out, lines are kept.
    pub(crate) code: String,
}

/// Separates comments from code. Strings and characters may contain what looks like a comment.
pub(crate) fn split(text: &str) -> Split {
    let mut out = Split::default();
    let mut rest = text;
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            let comment = rest.lines().next().unwrap_or_default();
            let own_line = out.code.rsplit('\n').next().is_none_or(|code| code.trim().is_empty());
            let marker = ["///", "//!", "//"].into_iter().find(|m| comment.starts_with(m));
            let marker = marker.unwrap_or("//");
            let text = comment[marker.len()..].to_owned();
            out.comments.push(Comment { line, marker, text, own_line });
            comment.len()
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = literal(rest, &out.code) {
            out.code.push_str("\"\"");
            len
        } else {
            out.code.push(c);
            c.len_utf8()
        };
        let lines = rest[..taken].matches('\n').count();
        line += lines;
        if taken > c.len_utf8() {
            out.code.extend(std::iter::repeat_n('\n', lines));
        }
        rest = &rest[taken..];
    }
    out
}

/// Length of the string or character literal that begins here, if one does.
fn literal(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        // A lifetime has no closing quote behind its first character.
        let first = inside.chars().next()?;
        let escaped = first == '\\';
        let closed = inside[first.len_utf8()..].starts_with('\'');
        return (escaped || closed).then(|| quoted(rest, '\''));
    }
    if in_word {
        return None;
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let body = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_lifetimes_are_no_comments() {
        let text =
            "let a = \"// no\"; let b = r#\"// \"no\"#; // yes\nfn f<'a>(c: &'a u8) {} // two";
        let split = split(text);
        let texts: Vec<_> = split.comments.iter().map(|comment| &comment.text[..]).collect();
        assert_eq!(texts, [" yes", " two"]);
        assert_eq!(split.comments[1].line, 2);
        assert!(split.code.contains("fn f<'a>(c: &'a u8) {}"));
    }

    #[test]
    fn lines_are_counted_through_literals_and_blocks() {
        let text = "let a = \"one\ntwo\";\n/* three\nfour */\nlet c = '\"'; // here";
        let split = split(text);
        assert_eq!(split.comments[0].line, 5);
        assert_eq!(split.code.lines().count(), 5);
    }

    #[test]
    fn code_in_documentation_is_no_prose() {
        let text = "/// One.\n/// ```\n/// code();\n/// ```\n/// Two\n/// lines.\nfn f() {}";
        let file = File { path: "a.rs".into(), text: text.into() };
        let texts: Vec<_> = prose(&file).iter().map(Paragraph::text).collect();
        assert_eq!(texts, ["One.", "Two lines."]);
    }
}
