//! Copying a database of SQLite that a program of an Agent may be writing to.
//!
//! Its bytes are copied, never its rows: who wrote it is a stranger, and no code of SQLite runs on it here. The database
//! and the log beside it (`-wal`) make a whole if every change since the log was begun is in the log, and the log is
//! read after the database: whatever a checkpoint wrote into the database meanwhile is in the log, too, and SQLite puts
//! it in place again when it opens the copy. So the log must not begin anew in between. A lock that only readers take
//! keeps it from that while the copy is made; its head says afterwards whether it was kept.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// How a database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of a log's head: with the log's random salt, which is another one each time that it begins anew.
const HEAD: usize = 32;
/// The byte of `-shm` whose lock says that the last of the five readers' places is taken (`WAL_READ_LOCK(4)`).
const READER: i64 = 127;
/// How often a copy is made until one is whole.
const TRIES: usize = 8;

/// A copy: the database, then its log if it has one, one after the other in one file.
pub(super) struct Copied {
    pub(super) file: File,
    pub(super) database: u64,
    /// Nothing where there is no log.
    pub(super) log: Option<u64>,
}

/// Tells whether a file is a database of SQLite.
pub(super) fn is_database(file: &mut File) -> io::Result<bool> {
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head == MAGIC)
}

/// Copies a database and its log into an empty file. After many tries with a program that never lets one be whole, the
/// last one is taken.
pub(super) fn copy(directory: BorrowedFd<'_>, name: &str, database: &mut File, mut scrap: File) -> io::Result<Copied> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (copied, is_whole) = copy_once(directory, name, database, scrap)?;
        if is_whole || tries == TRIES {
            return Ok(copied);
        }
        scrap = copied.file;
        scrap.set_len(0)?;
        scrap.rewind()?;
    }
}

fn copy_once(directory: BorrowedFd<'_>, name: &str, database: &mut File, mut file: File) -> io::Result<(Copied, bool)> {
    let _kept = keep_log(directory, name);
    let mut log = open(directory, &format!("{name}-wal"))?;
    let begun = log.as_mut().map(head).transpose()?;
    let before = database.metadata()?;
    database.rewind()?;
    // What is put behind its end from here on is in the log.
    let size = io::copy(&mut database.by_ref().take(before.len()), &mut file)?;
    let after = database.metadata()?;
    let Some(mut log) = log else {
        // Without a log the database itself is what must not change.
        let is_same = before.len() == after.len() && before.modified()? == after.modified()?;
        let is_whole = is_same && open(directory, &format!("{name}-wal"))?.is_none();
        return Ok((Copied { file, database: size, log: None }, is_whole));
    };
    let most = log.metadata()?.len();
    log.rewind()?;
    let log_size = io::copy(&mut log.by_ref().take(most), &mut file)?;
    let is_whole = begun == Some(head(&mut log)?) && is_still(directory, &format!("{name}-wal"), &log)?;
    Ok((Copied { file, database: size, log: Some(log_size) }, is_whole))
}

/// Reads the head of a log.
fn head(log: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    log.seek(SeekFrom::Start(0))?;
    log.by_ref().take(HEAD as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Keeps a log from beginning anew as long as the value lives, as a reader does. Nobody has to wait who reads, writes or
/// writes back; and who has no such file, or locked it away, is only copied with more tries.
fn keep_log(directory: BorrowedFd<'_>, name: &str) -> Option<File> {
    let shared = open(directory, &format!("{name}-shm")).ok()??;
    let lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_RDLCK).ok()?,
        l_whence: i16::try_from(nix::libc::SEEK_SET).ok()?,
        l_start: READER,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(shared.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).ok()?;
    Some(shared)
}

/// Opens a regular file of a directory, through no link.
fn open(directory: BorrowedFd<'_>, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened: OwnedFd = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        // Gone, or something else than a log.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let file = File::from(opened);
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Tells whether a name still means this file.
fn is_still(directory: BorrowedFd<'_>, name: &str, file: &File) -> io::Result<bool> {
    let own = rustix::fs::fstat(file)?;
    let Ok(found) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(false) };
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    Ok(is_file && (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino))
}
