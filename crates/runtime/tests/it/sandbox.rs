//! What a sandbox keeps from the program in it, and what it leaves.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::common::{BOUND, World, processes_with, text};
use doce_runtime::{Bind, SANDBOX_UID, Sandbox, SandboxError, Spec, StartError, TMPFS_MAX_BYTES, find_tool};

#[tokio::test]
async fn no_file_of_the_host_is_seen() {
    let world = World::sandboxed().await;
    let key = world.path("master.key");
    fs::write(&key, "the master key").expect("it is written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let own = std::env::current_exe().expect("we are a file");
    let own = own.to_str().expect("it is UTF-8");
    let output = world.run(&format!("cat {key}; cat /etc/shadow; ls -a / /home /root /var {own} 2>&1; ls /tmp")).await;
    let seen = text(&output.stdout);
    assert!(!seen.contains("the master key") && !seen.contains("root:"), "{seen}");
    assert!(seen.contains("usr"), "nothing was looked at: {seen}");
    for hidden in ["/home", "/root", "/var", own] {
        assert!(seen.contains(&format!("'{hidden}': No such file")), "{hidden} is there: {seen}");
    }
    // The decoy: without a sandbox the same program finds the key.
    let output = World::unsandboxed().run(&format!("cat {key}")).await;
    assert_eq!(text(&output.stdout), "the master key");
}

#[tokio::test]
async fn no_private_key_of_the_system_is_seen() {
    let world = World::sandboxed().await;
    let output = world.run("for p in /etc/ssl/private /etc/pki/tls/private /etc/gitconfig /etc/shadow; do [ -e $p ] && echo $p; done; ls /etc/ssl").await;
    let seen = text(&output.stdout);
    assert!(seen.contains("certs") && !seen.contains("private") && !seen.contains("/etc/"), "{seen}");
}

#[tokio::test]
async fn only_its_own_binds_are_seen_and_only_as_they_were_given() {
    let world = World::sandboxed().await;
    for directory in ["mine", "shown", "other"] {
        fs::create_dir(world.path(directory)).expect("it is made");
        fs::write(world.path(directory).join("file"), directory).expect("it is written");
    }
    let mut spec = world.script(&format!(
        "cat /workspace/file /shown/file; echo; echo new > /workspace/new; echo new > /shown/new; \
         ls {} {} /other 2>/dev/null; echo end",
        world.path("other"),
        world.path("mine")
    ));
    spec.binds =
        vec![Bind::read_write(world.path("mine"), "/workspace"), Bind::read_only(world.path("shown"), "/shown")];
    let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    assert_eq!(text(&output.stdout), "mineshown\nend\n");
    assert!(world.path("mine/new").exists());
    assert!(!world.path("shown/new").exists());
}

#[tokio::test]
async fn a_fresh_directory_hides_what_is_bound_around_it() {
    let world = World::sandboxed().await;
    fs::create_dir_all(world.path("home/.config")).expect("it is made");
    fs::write(world.path("home/.config/old"), "").expect("it is written");
    let mut spec = world.script("ls -A .config; touch .config/new kept && ls -A .config");
    spec.binds = vec![Bind::read_write(world.path("home"), "/home/app")];
    spec.tmpfs = vec!["/home/app/.config".into()];
    spec.cwd = "/home/app".into();
    let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    assert_eq!(text(&output.stdout), "new\n", "{}", output.errors());
    assert!(world.path("home/kept").exists() && !world.path("home/.config/new").exists());
}

#[tokio::test]
async fn there_are_no_privileges_and_no_way_to_any() {
    let world = World::sandboxed().await;
    let output = world.run("cat /proc/self/status; id -un; unshare -Ur true && echo NESTED; mount -t tmpfs x /tmp && echo MOUNTED; cat /proc/sys/user/max_user_namespaces").await;
    let seen = text(&output.stdout);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(seen.contains(&format!("{set}:\t0000000000000000")), "{set}: {seen}");
    }
    assert!(seen.contains(&format!("Uid:\t{SANDBOX_UID}\t{SANDBOX_UID}")), "{seen}");
    assert!(seen.contains("NoNewPrivs:\t1") && seen.contains("\napp\n"), "{seen}");
    assert!(!seen.contains("NESTED") && !seen.contains("MOUNTED"), "{seen}");
    let errors = output.errors();
    assert!(errors.contains("unshare") && errors.contains("mount"), "it wasn't tried: {errors}");
}

#[tokio::test]
async fn nothing_of_the_system_can_be_written() {
    let world = World::sandboxed().await;
    // As root's program it would own all of these.
    let output = world
        .run("for p in / /etc /etc/passwd /usr /usr/bin /bin/sh /dev /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/self/oom_score_adj; do [ -w $p ] && echo $p; done; find /proc/sys -writable 2>/dev/null; [ -w /tmp ] && echo tmp; [ -w /dev/shm ] && echo shm; echo x > /dev/null && echo null")
        .await;
    assert_eq!(text(&output.stdout), "tmp\nshm\nnull\n");
}

#[tokio::test]
async fn a_directory_in_memory_has_a_limit() {
    let world = World::sandboxed().await;
    let mut spec = world.script("df -k --output=size /tmp /dev/shm /cache | tail -n 3 | tr -d ' '");
    spec.tmpfs = vec!["/cache".into()];
    let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    let size = TMPFS_MAX_BYTES / 1024;
    assert_eq!(text(&output.stdout), format!("{size}\n{size}\n{size}\n"));
}

#[tokio::test]
async fn no_process_of_the_host_is_seen() {
    let world = World::sandboxed().await;
    let mut spec =
        world.script("ls /proc > /tmp/seen; grep -c '^[0-9]' /tmp/seen; kill -0 $HOST && echo REACHED; true");
    spec.env.push(("HOST".into(), std::process::id().to_string()));
    let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    // Its init, the shell and `ls`.
    assert_eq!(text(&output.stdout), "3\n");
    assert!(output.errors().contains("No such process"), "{}", output.errors());
}

#[tokio::test]
async fn the_network_is_shared_or_there_is_none() {
    let world = World::sandboxed().await;
    let mut spec = world.script("readlink /proc/self/ns/net; grep -c : /proc/net/dev");
    let alone = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    spec.network = true;
    let shared = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    let ours = fs::read_link("/proc/self/ns/net").expect("we have one");
    let ours = ours.to_str().expect("it is UTF-8");
    assert!(text(&shared.stdout).starts_with(ours));
    assert!(!text(&alone.stdout).starts_with(ours));
    assert!(text(&alone.stdout).ends_with("\n1\n"), "more than loopback: {}", text(&alone.stdout));
}

#[tokio::test]
async fn a_command_line_shows_nothing_of_the_environment() {
    let world = World::sandboxed().await;
    let mut spec = world.script("sleep $NAP");
    spec.args.push("a-visible-argument".into());
    spec.env.push(("PASSWORD".into(), format!("hunter{}", world.nap)));
    let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
    world.wait_for_naps(1).await;
    let lines: Vec<String> = fs::read_dir("/proc")
        .expect("there is a /proc")
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    // Bubblewrap, its init and the shell.
    assert_eq!(processes_with("a-visible-argument").len(), 3, "the search finds what is there");
    assert!(!lines.iter().any(|line| line.contains(&format!("hunter{}", world.nap))));
    running.stop(Duration::ZERO).await.expect("it stops");
}

#[tokio::test]
async fn stopping_kills_even_what_forgot_its_marker() {
    let world = World::sandboxed().await;
    let spec = world.script("env -i PATH=$PATH setsid setsid sleep $NAP & (env -i PATH=$PATH setsid sleep $NAP &); trap '' TERM; while true; do sleep $NAP; done");
    let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
    world.wait_for_naps(3).await;
    running.stop(Duration::ZERO).await.expect("it stops");
    assert!(world.naps().is_empty());
}

#[tokio::test]
async fn a_stopped_sandbox_is_killed_all_the_same() {
    let world = World::sandboxed().await;
    let spec = world.script("kill -STOP $$; sleep $NAP");
    let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
    let ending = running.stop(Duration::from_millis(100)).await.expect("it stops");
    assert!(!ending.success());
    assert_eq!(processes_with("kill -STOP $$; sleep $NAP"), Vec::<u32>::new());
}

#[tokio::test]
async fn a_program_that_nothing_shows_is_told_to_be_hidden() {
    let world = World::sandboxed().await;
    let program = world.path("program");
    fs::copy("/bin/sh", &program).expect("it is copied");
    let spec = Spec::new("hidden", &world.marker, &program);
    let error = world.runtime.start(&spec, world.path("log")).await.expect_err("it is hidden");
    assert!(matches!(error, StartError::NotFound { hidden: true, .. }), "{error}");
    assert!(error.to_string().ends_with("the sandbox doesn't show it"));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test looks where git is")]
async fn git_works_inside() {
    let world = World::sandboxed().await;
    let search = std::env::var("PATH").expect("there is a PATH");
    let git = find_tool("git", &search).expect("git is installed");
    fs::create_dir(world.path("project")).expect("it is made");
    let mut spec = world.script(&format!(
        "git={} && $git init -q && echo hi > a && $git add . && $git -c user.name=a -c user.email=a@b commit -qm first && $git log --oneline | wc -l",
        git.program
    ));
    spec.env.push(("HOME".into(), "/tmp".into()));
    spec.binds = git.binds;
    spec.binds.push(Bind::read_write(world.path("project"), "/workspace"));
    spec.cwd = "/workspace".into();
    let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
    assert_eq!((text(&output.stdout).trim(), output.errors().as_str()), ("1", ""));
    assert!(world.path("project/.git/HEAD").exists());
}

#[tokio::test(start_paused = true)]
async fn a_bubblewrap_that_hangs_is_given_up() {
    let world = World::unsandboxed();
    let fake = world.path("bwrap");
    // One process, as the real one is until it trusts what it was asked for.
    fs::write(&fake, "#!/bin/sh\nexec sleep 1000\n").expect("it is written");
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let error = Sandbox::probe(Some(&fake)).await.expect_err("it hangs");
    assert!(matches!(&error, SandboxError::Refused { detail } if detail.contains("didn't end in time")), "{error}");
}

#[tokio::test]
async fn no_bubblewrap_is_told_with_the_way_to_get_it() {
    let error = Sandbox::probe(Some("/no/such/bwrap".into())).await.expect_err("there is none");
    assert!(matches!(error, SandboxError::NotInstalled), "{error}");
    assert!(error.hint().contains("bubblewrap"), "{}", error.hint());
}

#[tokio::test]
async fn a_bubblewrap_that_is_too_old_or_does_nothing_is_not_trusted() {
    let world = World::unsandboxed();
    let fake = world.path("bwrap");
    let probe = async |script: &str| {
        fs::write(&fake, format!("#!/bin/sh\n{script}\n")).expect("it is written");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Sandbox::probe(Some(&fake)).await.expect_err("it is a fake")
    };
    let error = probe("echo 'bwrap: Unknown option --disable-userns' >&2; exit 1").await;
    assert!(matches!(error, SandboxError::TooOld), "{error}");
    let error = probe("echo \"bwrap: Can't find a mirror\" >&2; exit 1").await;
    assert!(matches!(&error, SandboxError::Refused { detail } if detail == "Can't find a mirror"), "{error}");
    // One that runs the program and isolates nothing.
    let error = probe(
        "while [ \"$1\" != -- ]; do shift; done; shift
         sh -c 'read -r go <&5; \"$@\"' sh \"$@\" & printf '{\"child-pid\": %s}' $! >&3; wait; echo '{\"exit-code\": 0}' >&4",
    )
    .await;
    assert!(matches!(error, SandboxError::Leaky { .. }), "{error}");
}
