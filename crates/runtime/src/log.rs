//! A file that takes what a long-running program prints.
//!
//! The program holds the file itself, so that nothing breaks when we end. It appends; when the file is too large,
//! its end is copied away and it is cut to nothing under the program's feet, which goes on at the new end.
//! What is written between the copy and the cut is lost.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};

/// The size at which a log is rotated, and how much of it is kept then.
pub const LOG_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// How many rotated logs are kept beside the one that is written.
pub const LOG_KEEP: u32 = 2;
/// How often the log of a program is looked at, while somebody waits for its end.
pub const LOG_CHECK_EVERY: Duration = Duration::from_secs(2);

/// The log of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    path: Utf8PathBuf,
}

impl Log {
    /// Names a log; there need not be one yet.
    pub fn new(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is written.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Opens it for a program to append to, readable by its owner alone.
    pub(crate) fn open(&self) -> io::Result<File> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    /// Rotates it if it has reached [`LOG_MAX_BYTES`], and says whether it did.
    pub fn rotate(&self) -> io::Result<bool> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        if length < LOG_MAX_BYTES {
            return Ok(false);
        }
        for number in (1..LOG_KEEP).rev() {
            match fs::rename(self.rotated(number), self.rotated(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        file.seek(SeekFrom::Start(length - LOG_MAX_BYTES))?;
        let mut kept = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(self.rotated(1))?;
        io::copy(&mut Read::by_ref(&mut file).take(LOG_MAX_BYTES), &mut kept)?;
        file.set_len(0)?;
        tracing::debug!(path = %self.path, length, "a log was rotated");
        Ok(true)
    }

    /// Its last lines, at most `max_bytes` of them; empty if there is no log.
    ///
    /// What was just rotated away is part of it. Bytes that aren't UTF-8 are replaced.
    pub fn tail(&self, max_bytes: u64) -> io::Result<String> {
        let (mut text, mut whole) = end_of(&self.path, max_bytes)?;
        let missing = max_bytes - text.len() as u64;
        if whole && missing > 0 {
            let (mut older, older_whole) = end_of(&self.rotated(1), missing)?;
            older.append(&mut text);
            text = older;
            whole = older_whole && !self.rotated(2).exists();
        }
        // A line whose beginning is missing is left out, unless it is all there is.
        let cut = if whole { None } else { text.iter().position(|byte| *byte == b'\n') };
        let from = cut.map(|newline| newline + 1).filter(|from| *from < text.len()).unwrap_or(0);
        Ok(String::from_utf8_lossy(&text[from..]).into_owned())
    }

    /// Removes it and everything rotated.
    pub fn remove(&self) -> io::Result<()> {
        for path in (1..=LOG_KEEP).map(|number| self.rotated(number)).chain([self.path.clone()]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// How long it is now.
    pub(crate) fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }

    /// At most `max_bytes` of what follows `offset`.
    pub(crate) fn since(&self, offset: u64, max_bytes: u64) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut text = Vec::new();
            file.take(max_bytes).read_to_end(&mut text)?;
            io::Result::Ok(text)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
    }

    fn rotated(&self, number: u32) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.{number}", self.path))
    }
}

/// The last bytes of a file, and whether these are all of it.
fn end_of(path: &Utf8Path, max_bytes: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), true)),
        opened => opened?,
    };
    let start = file.metadata()?.len().saturating_sub(max_bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.take(max_bytes).read_to_end(&mut text)?;
    Ok((text, start == 0))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn world() -> (tempfile::TempDir, Log) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = Utf8Path::from_path(directory.path()).expect("it is UTF-8").join("logs/agent.log");
        (directory, Log::new(path))
    }

    fn fill(file: &mut File, line: &str) {
        let line = format!("{line}\n");
        let lines = usize::try_from(LOG_MAX_BYTES).expect("it fits") / line.len() + 1;
        file.write_all(line.repeat(lines).as_bytes()).expect("the disk has room");
    }

    #[test]
    fn a_log_that_reaches_its_limit_is_rotated_under_the_writer() {
        let (_directory, log) = world();
        let mut writer = log.open().expect("it opens");
        assert!(!log.rotate().expect("it rotates"), "an empty log was rotated");
        for round in ["one", "two", "three", "four"] {
            fill(&mut writer, round);
            assert!(log.rotate().expect("it rotates"));
            assert_eq!(log.length(), 0);
        }
        writer.write_all(b"after\n").expect("the writer goes on");
        assert_eq!(fs::read_to_string(log.path()).expect("it is there"), "after\n");
        let kept = fs::metadata(log.rotated(1)).expect("it is kept").len();
        assert_eq!(kept, LOG_MAX_BYTES);
        assert!(log.rotated(LOG_KEEP).exists() && !log.rotated(LOG_KEEP + 1).exists());
        assert!(log.tail(12).expect("it reads").ends_with("four\nafter\n"));
    }

    #[test]
    fn a_tail_starts_at_a_line() {
        let (_directory, log) = world();
        assert_eq!(log.tail(100).expect("no log is no error"), "");
        log.open().expect("it opens").write_all(b"first\nsecond\nthird\n").expect("it is written");
        assert_eq!(log.tail(100).expect("it reads"), "first\nsecond\nthird\n");
        assert_eq!(log.tail(9).expect("it reads"), "third\n");
        assert_eq!(log.tail(3).expect("it reads"), "rd\n");
        log.remove().expect("it goes");
        assert!(!log.path().exists());
    }

    #[test]
    fn a_log_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, log) = world();
        let file = log.open().expect("it opens");
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    }
}
