//! Finds a program of the host (node, npm, git) and what a sandbox has to show for it to work there.

use std::{fs, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Bind, profile};

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Where it is, links followed up to its directory: its own name is kept, for programs that look at it.
    pub program: Utf8PathBuf,
    /// What a [`crate::Spec`] has to bind; empty for what the sandbox shows anyway.
    pub binds: Vec<Bind>,
}

/// Looks a program up in a search path such as `$PATH`.
///
/// One outside of the system's directories (a node of nvm's, say) is shown with the `bin` and `lib` directories around
/// it, at the same path and read-only; never with all of its prefix, which may be somebody's home.
/// A version manager's stand-in (asdf, volta) finds nothing to start in a sandbox.
pub fn find_tool(name: &str, search_path: &str) -> Option<Tool> {
    search_path
        .split(':')
        .map(Utf8Path::new)
        .filter(|directory| directory.is_absolute())
        .find(|directory| is_executable(&directory.join(name)))
        .and_then(|directory| tool_at(&directory.join(name)))
}

fn tool_at(found: &Utf8Path) -> Option<Tool> {
    if profile::is_shown(found) {
        let real = found.canonicalize_utf8().ok()?;
        if profile::is_shown(&real) {
            return Some(Tool { program: found.to_owned(), binds: Vec::new() });
        }
    }
    // `npm` is a link beside `node` into `../lib`: it must stay where it is to find its own parts.
    let directory = found.parent()?.canonicalize_utf8().ok()?;
    let program = directory.join(found.file_name()?);
    let real = program.canonicalize_utf8().ok()?;
    let mut shown = around(&program);
    if !real.starts_with(&directory) && !profile::is_shown(&real) {
        shown.extend(around(&real));
    }
    shown.sort();
    shown.dedup();
    let binds = shown.into_iter().map(|path| Bind::read_only(path.clone(), path)).collect();
    Some(Tool { program, binds })
}

/// `bin` and `lib` of the prefix around a program, or the program alone where there is no such layout.
fn around(program: &Utf8Path) -> Vec<Utf8PathBuf> {
    let in_bin = program.parent().filter(|directory| directory.file_name() == Some("bin"));
    match in_bin.and_then(|bin| Some((bin, bin.parent()?))) {
        Some((bin, prefix)) => {
            let lib = prefix.join("lib");
            let mut shown = vec![bin.to_owned()];
            if lib.is_dir() {
                shown.push(lib);
            }
            shown
        }
        None => vec![program.to_owned()],
    }
}

pub(crate) fn is_executable(path: &Utf8Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_system_needs_no_bind() {
        let tool = find_tool("sh", "/nonexistent:/usr/bin:/bin").expect("there is a shell");
        assert_eq!(tool.binds, []);
        assert_eq!(find_tool("no-such-program", "/usr/bin:/bin"), None);
    }

    #[test]
    fn a_program_in_a_prefix_of_its_own_brings_bin_and_lib_and_no_more() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let prefix =
            Utf8Path::from_path(temporary.path()).expect("it is UTF-8").canonicalize_utf8().expect("it exists");
        for directory in ["bin", "lib/node_modules/npm", "share/secrets"] {
            fs::create_dir_all(prefix.join(directory)).expect("it is writable");
        }
        for file in ["bin/node", "lib/node_modules/npm/cli.js"] {
            fs::write(prefix.join(file), "").expect("it is writable");
            fs::set_permissions(prefix.join(file), fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        std::os::unix::fs::symlink("../lib/node_modules/npm/cli.js", prefix.join("bin/npm")).expect("it is writable");

        let node = find_tool("node", prefix.join("bin").as_str()).expect("it is there");
        let hosts: Vec<_> = node.binds.iter().map(|bind| bind.host.clone()).collect();
        assert_eq!(hosts, [prefix.join("bin"), prefix.join("lib")]);

        let npm = find_tool("npm", prefix.join("bin").as_str()).expect("it is there");
        assert_eq!(npm.program, prefix.join("bin/npm"));
        assert!(npm.binds.iter().any(|bind| bind.host == prefix.join("lib")));
        assert!(npm.binds.iter().all(|bind| bind.host != prefix));
    }
}
