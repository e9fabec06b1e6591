//! Asking the person at the terminal for something that must not be shown.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroize as _;

/// Asks a question on the terminal and reads one line without showing it. Fails where there is no terminal.
pub(crate) fn secret(question: &str) -> io::Result<SecretString> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(question.as_bytes())?;
    let mut line = String::new();
    {
        let hidden = Hidden::begin(&terminal)?;
        BufReader::new(hidden.terminal).read_line(&mut line)?;
    }
    terminal.write_all(b"\n")?;
    Ok(hide(line))
}

/// Takes a line without its end, and wipes it.
pub(crate) fn hide(mut line: String) -> SecretString {
    let secret = SecretString::from(line.trim_end_matches(['\n', '\r']));
    line.zeroize();
    secret
}

/// A terminal that doesn't show what is typed; when this ends, it does again.
struct Hidden<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Hidden<'t> {
    fn begin(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to show.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
