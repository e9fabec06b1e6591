//! The `.env` files that doce.dev wrote for Projects.

/// The variable that held the key, in clear.
pub(crate) const KEY: &str = "OPENROUTER_API_KEY";
/// The variable that says that the sources are in a volume of Docker's.
pub(crate) const VOLUME: &str = "PROJECT_DATA_VOLUME_NAME";
/// Most bytes of a `.env` file that are read.
pub(crate) const ENV_MAX: u64 = 256 * 1024;

/// Returns a variable's value: the last one, without spaces and quotes around it. An empty one is none.
pub(crate) fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let last = text.lines().filter_map(|line| assigned(line.trim_start(), name)).next_back()?;
    let value = last.trim();
    let bare = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
        .trim();
    (!bare.is_empty()).then_some(bare)
}

/// Returns what a line assigns to `name`, if it does.
fn assigned<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    line.strip_prefix(name)?.trim_start().strip_prefix('=')
}

/// Returns the same file with the key taken out of its line; `None` if it holds none. Every other byte stays.
///
/// A line that was commented out holds its key as much as another.
pub fn without_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Vec::with_capacity(bytes.len());
    let mut found = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match key_begins(line) {
            Some(at) => {
                found = true;
                rest.extend_from_slice(&line[..at]);
                let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                rest.extend_from_slice(&line[end..]);
            }
            None => rest.extend_from_slice(line),
        }
    }
    found.then_some(rest)
}

/// Returns where a line's key begins, if it holds one.
fn key_begins(line: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(line);
    // Only the part before the value is measured in it, and that part is ASCII wherever this finds something.
    let bare = text.trim_start().trim_start_matches('#').trim_start();
    let value = assigned(bare, KEY)?;
    if value.trim().trim_matches(['"', '\'']).is_empty() {
        return None;
    }
    line.iter().position(|byte| *byte == b'=').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_shells_and_tools_write_it() {
        for line in ["A=x", "  A=x  ", "export A=x", "A = 'x'", "A=\"x\"\r", "A=old\nA=x", "B=A=y\nA=x\n# A=z"] {
            assert_eq!(value(line, "A"), Some("x"), "{line:?}");
        }
        for line in ["", "A=", "A=''", "#A=x", "AA=x", "a=x", "B=A=x"] {
            assert_eq!(value(line, "A"), None, "{line:?}");
        }
    }

    #[test]
    fn only_the_key_is_taken_out() {
        let without = |text: &str| without_key(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(
            without("DEV_PORT=1\nOPENROUTER_API_KEY=sk-or-1\nB=2").as_deref(),
            Some("DEV_PORT=1\nOPENROUTER_API_KEY=\nB=2")
        );
        assert_eq!(
            without("A=1\r\nexport OPENROUTER_API_KEY = \"sk\"\r\nB=ä\r\n").as_deref(),
            Some("A=1\r\nexport OPENROUTER_API_KEY =\r\nB=ä\r\n")
        );
        assert_eq!(
            without("# OPENROUTER_API_KEY=old\nOPENROUTER_API_KEY=new").as_deref(),
            Some("# OPENROUTER_API_KEY=\nOPENROUTER_API_KEY=")
        );
        for text in ["", "A=1", "OPENROUTER_API_KEY=", "OPENROUTER_API_KEY=\"\"\n", "MY_OPENROUTER_API_KEY=x"] {
            assert_eq!(without(text), None, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_stay_as_they_are() {
        let bytes = b"A=\xff\xfe\nOPENROUTER_API_KEY=\xffsk\nB=\x80";
        assert_eq!(without_key(bytes).unwrap(), b"A=\xff\xfe\nOPENROUTER_API_KEY=\nB=\x80");
    }
}
