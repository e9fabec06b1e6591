//! Finds bubblewrap, and believes in it only after a look around from inside.

use std::{fs, io, path::Path, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Bind, Isolation, RunError, Runtime, SANDBOX_UID, Spec, StartError, tool};

/// How long the try may take; it takes some 20 ms (bubblewrap 0.8.0, observed).
const PROBE_BOUND: Duration = Duration::from_secs(15);

/// Where bubblewrap is looked for when there is no `PATH`.
const USUAL_PLACES: &str = "/usr/local/bin:/usr/bin:/bin";

/// The oldest bubblewrap that knows `--disable-userns`.
const OLDEST: &str = "0.8";

/// Looks around from inside. Only the shell itself is needed.
const LOOK_AROUND: &str = r#"
while read -r line; do echo "$line"; done < /proc/self/status
[ -e "$1" ] && echo "Visible: $1"
[ -w /proc/sys/kernel/core_pattern ] && echo "Writable: /proc/sys"
( : > "$2/written" ) 2>/dev/null && echo "Written: yes"
[ -w /usr ] && echo "Writable: /usr"
echo "Done: yes"
"#;

/// A sandbox that was tried on this machine and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    bwrap: Utf8PathBuf,
}

/// Why there is no sandbox here. [`SandboxError::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no such program.
    #[error("find bubblewrap (`bwrap`): it is not installed")]
    NotInstalled,
    /// It lacks an option that the profile needs.
    #[error("use bubblewrap: version {OLDEST} or newer is needed")]
    TooOld,
    /// A setting of the kernel forbids user namespaces.
    #[error("make a user namespace: `{setting}` forbids it")]
    Forbidden {
        /// The setting, as `sysctl` names it, with its value.
        setting: &'static str,
    },
    /// We are in a container, which forbids user namespaces.
    #[error("make a user namespace: the container that doce runs in forbids it")]
    InContainer,
    /// It failed in another way.
    #[error("build a sandbox: {detail}")]
    Refused {
        /// What bubblewrap said.
        detail: String,
    },
    /// It was built and doesn't hold.
    #[error("trust the sandbox: {found}")]
    Leaky {
        /// What a program in it could do or see.
        found: String,
    },
    /// The try itself went wrong.
    #[error("try the sandbox")]
    Try(#[source] io::Error),
}

impl SandboxError {
    /// What a person can do: a sentence with the command that repairs it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotInstalled => format!("Install it: `{}`.", install_command()),
            Self::TooOld => format!("Upgrade it: `{}`, or a newer release of the system.", install_command()),
            Self::Forbidden { setting } => {
                let repaired = repaired(setting);
                format!(
                    "Allow it: `sudo sysctl -w {repaired}`, and to keep it, \
                     `echo {repaired} | sudo tee /etc/sysctl.d/60-doce.conf`."
                )
            }
            Self::InContainer => "Run doce outside of a container, or start the container with \
                                  `--security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                                  --security-opt systempaths=unconfined`."
                .to_owned(),
            Self::Refused { .. } | Self::Leaky { .. } => {
                "Run `bwrap --unshare-user --disable-userns --ro-bind / / true` to see it fail, and look into \
                 the system's log for what denied it."
                    .to_owned()
            }
            Self::Try(_) => "Check that the directory for temporary files can be written to.".to_owned(),
        }
    }
}

impl Sandbox {
    /// Finds bubblewrap, at `bwrap` or on `PATH`, and tries the very profile that programs get.
    ///
    /// It takes a moment, so its result is worth keeping.
    pub async fn probe(bwrap: Option<&Utf8Path>) -> Result<Self, SandboxError> {
        let bwrap = match bwrap {
            Some(path) if tool::is_executable(path) => path.to_owned(),
            Some(_) => return Err(SandboxError::NotInstalled),
            None => on_path().ok_or(SandboxError::NotInstalled)?,
        };
        let sandbox = Self { bwrap };
        sandbox.look_around().await?;
        Ok(sandbox)
    }

    /// One that nobody has tried.
    #[cfg(test)]
    pub(crate) fn untried(bwrap: Utf8PathBuf) -> Self {
        Self { bwrap }
    }

    /// The program that builds it.
    pub fn program(&self) -> &Utf8Path {
        &self.bwrap
    }

    async fn look_around(&self) -> Result<(), SandboxError> {
        let temporary = tempfile::tempdir().map_err(SandboxError::Try)?;
        let directory = Utf8Path::from_path(temporary.path())
            .ok_or_else(|| SandboxError::Try(io::Error::other("the temporary directory's name is not UTF-8")))?;
        let secret = directory.join("secret");
        let given = directory.join("given");
        fs::write(&secret, "x").and_then(|()| fs::create_dir(&given)).map_err(SandboxError::Try)?;

        let mut spec = Spec::new("the sandbox's try", "doce-probe", "/bin/sh");
        spec.args = vec!["-c".into(), LOOK_AROUND.into(), "sh".into(), secret.into(), "/workspace".into()];
        spec.binds = vec![Bind::read_write(&given, "/workspace")];
        let runtime = Runtime::new(Isolation::Sandboxed(self.clone()), directory.join("state"));
        match runtime.run(&spec, PROBE_BOUND, None).await {
            Ok(output) => judge(&String::from_utf8_lossy(&output.stdout), given.join("written").exists()),
            Err(RunError::Start { source: StartError::Setup { detail, .. }, .. }) => Err(explain(detail)),
            Err(RunError::Start { source: StartError::Spawn { source, .. }, .. }) => {
                Err(SandboxError::Refused { detail: source.to_string() })
            }
            Err(RunError::Start { source, .. }) => Err(SandboxError::Refused { detail: source.to_string() }),
            Err(RunError::TooLong { .. }) => Err(SandboxError::Refused { detail: "it didn't end in time".to_owned() }),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is no setting of doce's: it is where the system's programs are")]
fn on_path() -> Option<Utf8PathBuf> {
    let search = std::env::var_os("PATH").and_then(|path| path.into_string().ok());
    let search = search.as_deref().unwrap_or(USUAL_PLACES);
    search
        .split(':')
        .map(|directory| Utf8Path::new(directory).join("bwrap"))
        .find(|path| path.is_absolute() && tool::is_executable(path))
}

/// Compares what was seen from inside with what must be.
fn judge(seen: &str, written_on_host: bool) -> Result<(), SandboxError> {
    let leaky = |found: String| Err(SandboxError::Leaky { found });
    let value = |label: &str| seen.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).map(str::trim);
    for label in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        match value(label).map(|bits| u64::from_str_radix(bits, 16)) {
            Some(Ok(0)) => {}
            _ => return leaky(format!("a program in it has capabilities ({label})")),
        }
    }
    let expected_uids = [SANDBOX_UID.to_string(), SANDBOX_UID.to_string(), SANDBOX_UID.to_string()];
    if !value("Uid").is_some_and(|uids| uids.split_ascii_whitespace().take(3).eq(&expected_uids)) {
        return leaky("a program in it has another user's id".to_owned());
    }
    if value("NoNewPrivs") != Some("1") {
        return leaky("a program in it could gain privileges".to_owned());
    }
    for label in ["Visible", "Writable"] {
        if let Some(path) = value(label) {
            return leaky(format!("{} from inside: `{path}`", label.to_ascii_lowercase()));
        }
    }
    if value("Done").is_none() || value("Written").is_none() || !written_on_host {
        return leaky("a program in it can't write where it should".to_owned());
    }
    Ok(())
}

/// Finds the cause behind what bubblewrap said.
fn explain(detail: String) -> SandboxError {
    let setting = |path: &str| fs::read_to_string(path).ok().map(|value| value.trim().to_owned());
    explain_with(detail, &setting, in_container())
}

fn explain_with(detail: String, setting: &dyn Fn(&str) -> Option<String>, in_container: bool) -> SandboxError {
    if detail.to_ascii_lowercase().contains("unknown option") {
        return SandboxError::TooOld;
    }
    let denials = ["namespace", "uid map", "permission", "not permitted", "no space left"];
    let told = detail.to_ascii_lowercase();
    if !denials.iter().any(|denial| told.contains(denial)) {
        return SandboxError::Refused { detail };
    }
    let forbidding = SETTINGS.iter().find(|(path, value, _)| setting(path).as_deref() == Some(value));
    match forbidding {
        Some((_, _, name)) => SandboxError::Forbidden { setting: name },
        None if in_container => SandboxError::InContainer,
        None => SandboxError::Refused { detail },
    }
}

/// Settings that forbid user namespaces: where each is, the value that forbids, and how `sysctl` writes that.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=0"),
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=1"),
];

fn repaired(setting: &str) -> &'static str {
    match setting.split('=').next() {
        Some("kernel.unprivileged_userns_clone") => "kernel.unprivileged_userns_clone=1",
        Some("user.max_user_namespaces") => "user.max_user_namespaces=15000",
        _ => "kernel.apparmor_restrict_unprivileged_userns=0",
    }
}

fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists())
        || fs::read("/proc/1/environ").is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"container="))
        })
}

/// How this system installs a package.
fn install_command() -> &'static str {
    install_command_of(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn install_command_of(os_release: &str) -> &'static str {
    let families: String = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .collect::<Vec<_>>()
        .join(" ");
    let is = |family: &str| families.split([' ', '"']).any(|name| name == family);
    if is("fedora") || is("rhel") {
        "sudo dnf install bubblewrap"
    } else if is("arch") {
        "sudo pacman -S bubblewrap"
    } else if is("alpine") {
        "apk add bubblewrap"
    } else if is("suse") || is("opensuse") {
        "sudo zypper install bubblewrap"
    } else {
        "sudo apt install bubblewrap"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "Name:\tsh\nUid:\t10001\t10001\t10001\t10001\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nWritten: yes\nDone: yes\n";

    #[test]
    fn a_sound_sandbox_is_trusted() {
        assert!(judge(SOUND, true).is_ok());
    }

    #[test]
    fn each_leak_is_found() {
        let leaks = [
            SOUND.replace("CapEff:\t0000000000000000", "CapEff:\t000001ffffffffff"),
            SOUND.replace("CapBnd:\t0000000000000000\n", ""),
            SOUND.replace("10001\t10001\t10001", "0\t0\t0"),
            SOUND.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            format!("{SOUND}Visible: /tmp/secret\n"),
            format!("{SOUND}Writable: /proc/sys\n"),
            SOUND.replace("Written: yes\n", ""),
            String::new(),
        ];
        for leak in leaks {
            assert!(matches!(judge(&leak, true), Err(SandboxError::Leaky { .. })), "{leak}");
        }
        assert!(matches!(judge(SOUND, false), Err(SandboxError::Leaky { .. })));
    }

    #[test]
    fn a_refusal_is_traced_to_the_setting_behind_it() {
        let said = "No permissions to create new namespace, likely because the kernel does not allow \
                    non-privileged user namespaces.";
        let cause =
            |setting: &dyn Fn(&str) -> Option<String>, container| explain_with(said.to_owned(), setting, container);
        for (path, value, name) in SETTINGS {
            let error = cause(&|asked| (asked == path).then(|| value.to_owned()), true);
            assert!(matches!(error, SandboxError::Forbidden { setting } if setting == name), "{error}");
            assert!(error.hint().contains(name.split('=').next().expect("it has a name")), "{}", error.hint());
        }
        assert!(matches!(cause(&|_| None, true), SandboxError::InContainer));
        assert!(matches!(cause(&|_| None, false), SandboxError::Refused { .. }));
    }

    #[test]
    fn other_failures_are_told_as_they_are() {
        let old = explain_with("Unknown option --disable-userns".to_owned(), &|_| None, true);
        assert!(matches!(old, SandboxError::TooOld));
        let other = explain_with("Can't mount tmpfs".to_owned(), &|_| None, true);
        assert!(matches!(other, SandboxError::Refused { detail } if detail == "Can't mount tmpfs"));
    }

    #[test]
    fn the_repair_speaks_the_system_s_language() {
        assert_eq!(install_command_of("ID=debian\n"), "sudo apt install bubblewrap");
        assert_eq!(install_command_of("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n"), "sudo dnf install bubblewrap");
        assert_eq!(install_command_of("ID=arch"), "sudo pacman -S bubblewrap");
    }
}
