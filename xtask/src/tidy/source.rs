//! Takes a Rust file apart into code, comments and string literals: as much as the rules need.

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Comment,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The line it begins on, from 1.
    pub(super) line: usize,
}

/// The pieces of a file, in order. String literals come without their quotes, escapes as written.
pub(super) fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut scanner = Scanner { source, at: 0, line: 1, found: Vec::new() };
    scanner.scan();
    scanner.found
}

/// The part of a file before its own tests, which stand at its foot.
pub(super) fn without_tests(source: &str) -> &str {
    let mark = "#[cfg(test)]\nmod ";
    match source.find(mark) {
        Some(at) => source.get(..at).unwrap_or(source),
        None => source,
    }
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    found: Vec<Piece<'a>>,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Adds the next `length` bytes as one piece, of which `skip` at each end are left out.
    fn take(&mut self, kind: Kind, length: usize, skip: (usize, usize)) {
        let all = self.rest().get(..length).unwrap_or_else(|| self.rest());
        let text = all.get(skip.0..all.len().saturating_sub(skip.1)).unwrap_or_default();
        self.found.push(Piece { kind, text, line: self.line });
        self.line += all.matches('\n').count();
        self.at += all.len().max(1);
    }

    fn scan(&mut self) {
        while self.at < self.source.len() {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.take(Kind::Comment, rest.find('\n').unwrap_or(rest.len()), (0, 0));
            } else if rest.starts_with("/*") {
                self.take(Kind::Comment, block_comment(rest), (0, 0));
            } else if let Some((open, close)) = raw_string(rest) {
                let end = rest.get(open..).and_then(|inner| inner.find(close.as_str()));
                let length = end.map_or(rest.len(), |inner| open + inner + close.len());
                self.take(Kind::Text, length, (open, close.len()));
            } else if rest.starts_with('"') {
                self.take(Kind::Text, quoted(rest), (1, 1));
            } else if let Some(length) = character(rest) {
                self.take(Kind::Code, length, (0, 0));
            } else {
                let length = code(rest);
                self.take(Kind::Code, length, (0, 0));
            }
        }
    }
}

/// The length of code up to what may begin something else.
fn code(rest: &str) -> usize {
    let mut previous = ' ';
    for (at, letter) in rest.char_indices() {
        let starts_raw = matches!(letter, 'r' | 'b' | 'c')
            && !(previous.is_alphanumeric() || previous == '_')
            && rest.get(at..).is_some_and(|tail| raw_string(tail).is_some());
        if at > 0 && (matches!(letter, '"' | '/' | '\'') || starts_raw) {
            return at;
        }
        previous = letter;
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string's opening and the text that closes it.
fn raw_string(rest: &str) -> Option<(usize, String)> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| rest.strip_prefix(prefix).is_some_and(|tail| tail.starts_with(['#', '"'])))?;
    let tail = rest.get(prefix.len()..)?;
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    tail.get(hashes..)?.starts_with('"').then(|| (prefix.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// The length of an ordinary string literal, quotes included.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal, if this is one and not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        // The escaped letter may itself be a quote.
        let end = inner.get(2..)?.find('\'')?;
        return Some(1 + 2 + end + 1);
    }
    let letter = inner.chars().next()?;
    inner.get(letter.len_utf8()..)?.starts_with('\'').then(|| letter.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        pieces(source).iter().filter(|it| it.kind == Kind::Text).map(|it| it.text).collect()
    }

    fn code_of(source: &str) -> String {
        pieces(source).iter().filter(|it| it.kind == Kind::Code).map(|it| it.text).collect()
    }

    #[test]
    fn strings_of_each_kind_are_found() {
        assert_eq!(texts(r#"f("one", b"two", "a \" b");"#), ["one", "two", r#"a \" b"#]);
        assert_eq!(texts("r\"raw\" r#\"with \" inside\"# br##\"b\"##"), ["raw", "with \" inside", "b"]);
    }

    #[test]
    fn comments_are_not_code_even_nested() {
        let source = "a // \"not a string\"\n/* x /* y */ \"z\" */ b";
        assert_eq!(texts(source), Vec::<&str>::new());
        assert_eq!(code_of(source), "a \n b");
    }

    #[test]
    fn quotes_in_characters_and_lifetimes_do_not_open_a_string() {
        assert_eq!(texts("let a = '\"'; let b: &'static str = \"s\"; let c = '\\'';"), ["s"]);
        assert_eq!(texts("fn f<'a>(x: &'a str) { \"t\" }"), ["t"]);
    }

    #[test]
    fn an_identifier_that_ends_in_r_does_not_open_a_raw_string() {
        assert_eq!(texts("for\"x\" expr\"y\""), ["x", "y"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let lines: Vec<usize> =
            pieces("\"a\nb\"\n/* \n */\n\"c\"").iter().filter(|it| it.kind == Kind::Text).map(|it| it.line).collect();
        assert_eq!(lines, [1, 5]);
    }

    #[test]
    fn a_division_is_code() {
        assert_eq!(code_of("a / b / c"), "a / b / c");
    }

    #[test]
    fn tests_at_the_foot_are_left_out() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), "fn a() {}\n");
        assert_eq!(without_tests("#[cfg(test)]\nfn only() {}"), "#[cfg(test)]\nfn only() {}");
    }
}
