//! What to run: a program, its complete environment, and the little of the host that it may see.
//!
//! A [`Spec`] is written with *inside* paths. Without a sandbox there is no inside: [`Spec::host_path`] says where
//! such a path really is, and [`crate::Isolation::path_of`] tells callers what to put in variables and arguments.

use std::fmt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::{Limits, StartError};

/// The variable by which every process of ours can be found again.
pub const MARKER_VARIABLE: &str = "DOCE_MARKER";

/// The longest marker that is accepted.
const MARKER_MAX_BYTES: usize = 128;

/// Whether a bound directory may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The program may read.
    ReadOnly,
    /// The program may read and write.
    ReadWrite,
}

/// A file or directory of the host that the program sees.
///
/// A symbolic link at `host` is followed: name no path that a sandboxed program could have replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is.
    pub host: Utf8PathBuf,
    /// Where the program sees it.
    pub inside: Utf8PathBuf,
    /// Whether the program may write there.
    pub mode: Mode,
}

impl Bind {
    /// Shows `host` at `inside`, for reading.
    pub fn read_only(host: impl Into<Utf8PathBuf>, inside: impl Into<Utf8PathBuf>) -> Self {
        Self { host: host.into(), inside: inside.into(), mode: Mode::ReadOnly }
    }

    /// Shows `host` at `inside`, for reading and writing.
    pub fn read_write(host: impl Into<Utf8PathBuf>, inside: impl Into<Utf8PathBuf>) -> Self {
        Self { host: host.into(), inside: inside.into(), mode: Mode::ReadWrite }
    }
}

/// A program to run, and everything it gets.
#[derive(Clone)]
pub struct Spec {
    /// What people and logs call it ("agent of prj_…").
    pub name: String,
    /// By which it is found again: `<installation>-<what>`, of ASCII letters, digits, `-`, `_`, `.`.
    ///
    /// It starts with an installation's own id, so that two doce on one machine never touch each other's processes.
    pub marker: String,
    /// The program, as an absolute inside path.
    pub program: Utf8PathBuf,
    /// Its arguments. Anyone on the machine can read them.
    pub args: Vec<String>,
    /// Its whole environment but for the marker and `PWD`: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Its working directory, as an absolute inside path.
    pub cwd: Utf8PathBuf,
    /// What it sees of the host, beyond the system's own programs and libraries.
    pub binds: Vec<Bind>,
    /// Inside directories that are empty at the start and forgotten at the end. `/tmp` is always one.
    pub tmpfs: Vec<Utf8PathBuf>,
    /// Whether it shares the host's network, with every service that listens on the loopback address or on an
    /// abstract socket; without it there is none. Only a sandbox can withhold it.
    pub network: bool,
    /// Scheduling priority, 0 to 19 (the kindest); `None` is ours.
    pub nice: Option<i32>,
    /// How early the kernel should kill it when memory runs out, 0 to 1000; `None` is ours.
    pub oom_score_adj: Option<i32>,
    /// Ceilings for the whole tree, enforced where control groups can be written.
    pub limits: Limits,
}

impl Spec {
    /// A program without arguments, environment, binds, network or limits, in the root directory.
    pub fn new(name: impl Into<String>, marker: impl Into<String>, program: impl Into<Utf8PathBuf>) -> Self {
        Self {
            name: name.into(),
            marker: marker.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: Utf8PathBuf::from("/"),
            binds: Vec::new(),
            tmpfs: Vec::new(),
            network: false,
            nice: None,
            oom_score_adj: None,
            limits: Limits::default(),
        }
    }

    /// Where on the host an inside path is: below the closest bind, or the very same path.
    pub fn host_path(&self, inside: &Utf8Path) -> Utf8PathBuf {
        let closest = self
            .binds
            .iter()
            .filter_map(|bind| inside.strip_prefix(&bind.inside).ok().map(|rest| (bind, rest)))
            .max_by_key(|(bind, _)| bind.inside.components().count());
        match closest {
            Some((bind, rest)) if rest.as_str().is_empty() => bind.host.clone(),
            Some((bind, rest)) => bind.host.join(rest),
            None => inside.to_owned(),
        }
    }

    /// Refuses what could only go wrong later, and less clearly.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let refuse = |what: &str| Err(StartError::Spec { name: self.name.clone(), what: what.to_owned() });
        if !marker_is_sound(&self.marker) {
            return refuse("its marker may hold only ASCII letters, digits, `-`, `_` and `.`");
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return refuse("a variable's name is empty or holds `=`, or one holds a NUL");
            }
            // The loader of the program that *builds* the sandbox would obey these, outside of it.
            if name.starts_with("LD_") || name == "GLIBC_TUNABLES" || name == MARKER_VARIABLE {
                return refuse(&format!("the variable `{name}` can't be set"));
            }
        }
        if self.args.iter().any(|argument| argument.contains('\0')) {
            return refuse("an argument holds a NUL");
        }
        let inside =
            [&self.program, &self.cwd].into_iter().chain(self.binds.iter().map(|bind| &bind.inside)).chain(&self.tmpfs);
        for path in inside.chain(self.binds.iter().map(|bind| &bind.host)) {
            if !is_plain_absolute(path) {
                return refuse(&format!("`{path}` is not an absolute path without `..`"));
            }
        }
        for bind in &self.binds {
            if let Err(source) = bind.host.metadata() {
                return Err(StartError::Bind { host: bind.host.clone(), source });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Spec {
    // Secret: an environment may hold a password, so only its names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Spec")
            .field("name", &self.name)
            .field("marker", &self.marker)
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("binds", &self.binds)
            .field("tmpfs", &self.tmpfs)
            .field("network", &self.network)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Markers become names of files and control groups.
fn marker_is_sound(marker: &str) -> bool {
    !marker.is_empty()
        && marker.len() <= MARKER_MAX_BYTES
        && marker.starts_with(|first: char| first.is_ascii_alphanumeric())
        && marker.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_plain_absolute(path: &Utf8Path) -> bool {
    path.is_absolute()
        && !path.as_str().contains('\0')
        && !path.components().any(|component| component == Utf8Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec::new("a test", "test-1", "/usr/bin/true")
    }

    #[test]
    fn an_inside_path_is_found_below_its_closest_bind() {
        let mut spec = spec();
        spec.binds =
            vec![Bind::read_write("/data/home", "/home/app"), Bind::read_write("/data/config", "/home/app/.config")];
        assert_eq!(spec.host_path("/home/app".into()), "/data/home");
        assert_eq!(spec.host_path("/home/app/x/y".into()), "/data/home/x/y");
        assert_eq!(spec.host_path("/home/app/.config/z".into()), "/data/config/z");
        assert_eq!(spec.host_path("/home/apple".into()), "/home/apple");
    }

    #[test]
    fn a_variable_that_the_loader_obeys_is_refused() {
        for name in ["LD_PRELOAD", "GLIBC_TUNABLES", MARKER_VARIABLE, "", "A=B"] {
            let mut spec = spec();
            spec.env = vec![(name.to_owned(), "x".to_owned())];
            assert!(matches!(spec.check(), Err(StartError::Spec { .. })), "{name} was accepted");
        }
        assert!(spec().check().is_ok());
    }

    #[test]
    fn a_marker_that_could_leave_its_directory_is_refused() {
        for marker in ["", "../x", "a/b", ".hidden", "a b", &"a".repeat(MARKER_MAX_BYTES + 1)] {
            let mut spec = spec();
            marker.clone_into(&mut spec.marker);
            assert!(matches!(spec.check(), Err(StartError::Spec { .. })), "{marker} was accepted");
        }
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        let mut spec = spec();
        spec.tmpfs = vec!["/home/../etc".into()];
        assert!(matches!(spec.check(), Err(StartError::Spec { .. })));
        spec.tmpfs = vec!["relative".into()];
        assert!(matches!(spec.check(), Err(StartError::Spec { .. })));
    }

    #[test]
    fn the_debug_form_shows_no_value_of_the_environment() {
        let mut spec = spec();
        spec.env = vec![("PASSWORD".to_owned(), "hunter2".to_owned())];
        let shown = format!("{spec:?}");
        assert!(shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }
}
