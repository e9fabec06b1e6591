//! Removing a directory that an Agent could write to, whatever it left there.
//!
//! The directories in it may be closed to their owner, and deeper in each other than a path is long or files may be open.
//! Each is opened by its name in a directory that is open, through no link; gets its owner's rights back, if they were
//! taken; and is moved up into the first one before it is emptied, so that none is ever below another.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use camino::Utf8Path;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};

/// Removes a directory with everything in it. What is at its name and is no directory is an error, and stays.
pub(crate) fn remove_directory(path: &Utf8Path) -> io::Result<()> {
    let first = open(CWD, path.as_str())?;
    let mut ahead = empty(&first, None)?;
    while let Some(name) = ahead.pop() {
        match open(first.as_fd(), &*name) {
            Ok(directory) => ahead.extend(empty(&directory, Some(&first))?),
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        }
        ignore_absent(rustix::fs::unlinkat(&first, &*name, AtFlags::REMOVEDIR))?;
    }
    Ok(rustix::fs::unlinkat(CWD, path.as_std_path(), AtFlags::REMOVEDIR)?)
}

/// Opens a directory, and gives its owner the rights back that it takes to empty it.
fn open<N: rustix::path::Arg>(parent: BorrowedFd<'_>, name: N) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // What was found has no name that an Agent could give to something else meanwhile. Where this is refused, what
        // comes next says why.
        let _ = rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU);
    }
    rustix::fs::openat(&found, ".", flags, Mode::empty())
}

/// Removes what of a directory isn't a directory, and moves the directories up into the first one. Returns the names that
/// they have there; those of the first one itself stay where they are.
fn empty(directory: &OwnedFd, first: Option<&OwnedFd>) -> io::Result<Vec<CString>> {
    let mut moved = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(stat.st_mode);
        }
        match first {
            _ if kind != FileType::Directory => {
                ignore_absent(rustix::fs::unlinkat(directory, name, AtFlags::empty()))?;
            }
            None => moved.push(name.to_owned()),
            Some(first) => {
                // To be moved, it has to be open to its owner itself.
                let inner = open(directory.as_fd(), name)?;
                moved.push(move_up(directory, name, first, rustix::fs::fstat(&inner)?.st_ino)?);
            }
        }
    }
    Ok(moved)
}

/// Moves a directory up, under a name that nothing else has there.
fn move_up(from: &OwnedFd, name: &std::ffi::CStr, first: &OwnedFd, number: u64) -> io::Result<CString> {
    let mut copy = 0_u64;
    loop {
        let up = CString::new(format!("{number}.{copy}")).map_err(io::Error::other)?;
        match rustix::fs::renameat(from, name, first, &*up) {
            Ok(()) => return Ok(up),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => copy += 1,
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn ignore_absent(removed: Result<(), Errno>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn whatever_an_agent_left_is_removed_and_nothing_that_a_link_leads_to() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let (kept, gone) = (root.join("kept"), root.join("gone"));
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "kept").unwrap();
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o500)).unwrap();
        std::fs::create_dir_all(gone.join("a/b")).unwrap();
        symlink(&kept, gone.join("a/b/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(gone.join("socket")).unwrap();
        // Longer than a path may be, deeper than files may be open, and each has the same name.
        let name = "d".repeat(200);
        let mut at = rustix::fs::open(gone.as_std_path(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..2000 {
            rustix::fs::mkdirat(&at, &*name, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, &*name, OFlags::PATH, Mode::empty()).unwrap();
        }
        remove_directory(&gone).unwrap();
        assert!(!gone.exists());
        assert_eq!(std::fs::read_to_string(kept.join("file")).unwrap(), "kept");
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o500, "it was left as it is");
        symlink(&kept, &gone).unwrap();
        remove_directory(&gone).unwrap_err();
        assert!(kept.join("file").exists());
    }
}
