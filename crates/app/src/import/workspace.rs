//! A Project's files: looked at, and copied into a Workspace.
//!
//! Only regular files come over. The line of a `.env` file that held the key comes without it; a key that stands in
//! another file comes as it is, because that file is its owner's work, and is reported.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
};

use camino::Utf8Path;
use doce_legacy::{Item, Subject};
use doce_opencode::config::{Mask, workspace_masks};

use crate::import::{ImportLine, ImportOutcome, projects::ProjectPlan};

/// Most lines about one Project's files; what is beyond them is counted.
const LINES_MAX: usize = 20;
/// Larger than this, no file is searched for a key.
const SEARCHED_MAX: u64 = 1024 * 1024;
/// How the keys begin that doce.dev handed to Projects.
const KEY_BEGINS: &[u8] = b"sk-or-v1-";

/// Counts the files of a Project, and says what of them stays behind or holds a key.
pub(crate) fn look(project: &ProjectPlan) -> (String, Vec<ImportLine>) {
    let mut seen = Seen { name: &project.name, files: 0, bytes: 0, repository: false, lines: Vec::new(), more: 0 };
    let walked = project.sources.walk(&mut |item| {
        seen.take(item);
        Ok(())
    });
    let Seen { files, bytes, repository, mut lines, more, .. } = seen;
    if let Err(e) = walked {
        lines.push(ImportLine::new(ImportOutcome::Unreadable, Subject::Project, &project.name, e.to_string()));
    }
    if more > 0 {
        let detail = format!("{more} more of its files stay behind or hold a key");
        lines.push(ImportLine::new(ImportOutcome::Left, Subject::File, &project.name, detail));
    }
    let git = if repository { ", with its git repository" } else { ", and a new git repository" };
    (format!("{files} files, {} KiB{git}", bytes.div_ceil(1024)), lines)
}

struct Seen<'a> {
    name: &'a str,
    files: u64,
    bytes: u64,
    repository: bool,
    lines: Vec<ImportLine>,
    more: usize,
}

impl Seen<'_> {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Directory(path) => self.repository |= path == Path::new(".git"),
            Item::File { path, file, size, .. } => {
                self.files += 1;
                self.bytes += size;
                match holds_key(path, file, size) {
                    Ok(Holds::Nothing) => {}
                    Ok(Holds::Line) => self.say(ImportOutcome::Left, path, "the key of its line stays behind"),
                    Ok(Holds::Key) => {
                        let detail = "it seems to hold a key in clear, and comes as it is: take the key out of it";
                        self.say(ImportOutcome::New, path, detail);
                    }
                    Err(e) => self.say(ImportOutcome::Unreadable, path, &e.to_string()),
                }
            }
            Item::Left { path, what, unreadable: false } => {
                self.say(ImportOutcome::Left, path, &format!("it is {what}"));
            }
            Item::Left { path, what, unreadable: true } => self.say(ImportOutcome::Unreadable, path, &what),
        }
    }

    fn say(&mut self, outcome: ImportOutcome, path: &Path, detail: &str) {
        if self.lines.len() == LINES_MAX {
            self.more += 1;
            return;
        }
        let name = format!("{} of {}", path.display(), self.name);
        self.lines.push(ImportLine::new(outcome, Subject::File, &name, detail));
    }
}

/// What a file holds that was doce.dev's.
enum Holds {
    Nothing,
    /// The line of a `.env` file.
    Line,
    /// A key, somewhere else.
    Key,
}

fn holds_key(path: &Path, file: File, size: u64) -> io::Result<Holds> {
    // What a repository keeps is compressed: nothing could be found there.
    if size > SEARCHED_MAX || path.starts_with(".git") {
        return Ok(Holds::Nothing);
    }
    let mut bytes = Vec::new();
    file.take(SEARCHED_MAX).read_to_end(&mut bytes)?;
    if is_env(path) && doce_legacy::without_key(&bytes).is_some() {
        return Ok(Holds::Line);
    }
    Ok(if memchr::memmem::find(&bytes, KEY_BEGINS).is_some() { Holds::Key } else { Holds::Nothing })
}

fn is_env(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".env"))
}

/// Copies a Project's files into a directory that isn't there yet.
pub(crate) fn copy(project: &ProjectPlan, to: &Utf8Path) -> io::Result<()> {
    let to = to.as_std_path();
    make_directory(to)?;
    project.sources.walk(&mut |item| match item {
        Item::Directory(path) => make_directory(&to.join(path)),
        Item::File { path, mut file, size, executable } => {
            let new = to.join(path);
            if is_env(path) && size <= SEARCHED_MAX {
                let mut bytes = Vec::new();
                file.take(SEARCHED_MAX).read_to_end(&mut bytes)?;
                // Secret: the key that stood in clear stays behind; the vault has it.
                fs::write(&new, doce_legacy::without_key(&bytes).unwrap_or(bytes))?;
            } else {
                io::copy(&mut file, &mut File::create_new(&new)?)?;
            }
            fs::set_permissions(&new, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
        }
        // The plan has said so.
        Item::Left { .. } => Ok(()),
    })?;
    if let Err(e) = exclude_masks(to) {
        // An odd repository is no reason to leave the files behind.
        tracing::warn!(project = %project.id, error = %e, "the repository was not told what doce lays over it");
    }
    // The row that makes all this a Project is written after it: a power cut must not leave the row alone.
    rustix::fs::syncfs(&File::open(to)?)?;
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Keeps what is laid over the Agent's view of a Workspace out of a repository that came along.
fn exclude_masks(workspace: &Path) -> io::Result<()> {
    let repository = workspace.join(".git");
    if !repository.is_dir() {
        return Ok(());
    }
    let file = repository.join("info/exclude");
    fs::create_dir_all(repository.join("info"))?;
    let mut text = match fs::read(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for mask in workspace_masks() {
        let (Mask::EmptyDirectory(name) | Mask::File(name, _)) = mask;
        // What the Project itself has there is its own, and stays in its history.
        if !workspace.join(name).exists() {
            text.extend_from_slice(format!("/{name}\n").as_bytes());
        }
    }
    fs::write(file, text)
}
