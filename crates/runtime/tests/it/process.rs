//! What holds with a sandbox and without: output, endings, stopping, bounds, logs.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::common::{BOUND, World, processes_that_say, text, wait_for};
use doce_runtime::{
    Bind, Cause, LOG_MAX_BYTES, Limits, MARKER_VARIABLE, OUTPUT_MAX_BYTES, RunError, Spec, StartError, Stream,
};

const GRACE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_program_gives_its_output_and_its_code() {
    for world in World::both().await {
        let output = world.run("echo out; echo err >&2; exit 7").await;
        assert_eq!(output.ending.cause, Cause::Code(7));
        assert_eq!((text(&output.stdout), output.errors()), ("out\n".to_owned(), "err".to_owned()));
        assert!(!output.stdout_is_cut && !output.ending.success());
    }
}

#[tokio::test]
async fn a_program_that_kills_itself_tells_the_signal() {
    for world in World::both().await {
        assert_eq!(world.run("kill -9 $$").await.ending.cause, Cause::Signal(9));
    }
}

#[tokio::test]
async fn lines_are_told_while_the_program_runs() {
    for world in World::both().await {
        let mut lines = Vec::new();
        let mut on_line = |stream: Stream, line: &str| lines.push((stream, line.to_owned()));
        let spec = world.script("echo one; echo two >&2; printf three");
        world.runtime.run(&spec, BOUND, Some(&mut on_line)).await.expect("it runs");
        lines.sort_by_key(|(stream, _)| *stream == Stream::Errors);
        let expected = [(Stream::Output, "one"), (Stream::Output, "three"), (Stream::Errors, "two")];
        assert_eq!(lines, expected.map(|(stream, line)| (stream, line.to_owned())));
    }
}

#[tokio::test]
async fn output_beyond_the_limit_is_cut() {
    for world in World::both().await {
        let output = world.run(&format!("head -c {} /dev/zero; echo end >&2", OUTPUT_MAX_BYTES + 1)).await;
        assert_eq!((output.stdout.len(), output.stdout_is_cut), (OUTPUT_MAX_BYTES, true));
        assert_eq!(output.errors(), "end");
    }
}

#[tokio::test]
async fn the_environment_is_the_list_and_nothing_else() {
    for world in World::both().await {
        let mut spec = world.script("env");
        spec.program = "/usr/bin/env".into();
        spec.args = Vec::new();
        spec.env = vec![("GREETING".into(), "a b=c".into())];
        let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
        let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        let marker = lines.remove(0);
        assert!(marker.starts_with(&format!("{MARKER_VARIABLE}={}.", world.marker)), "{marker}");
        assert_eq!(lines, ["GREETING=a b=c", "PWD=/"]);
    }
}

#[tokio::test]
async fn a_descriptor_that_was_left_open_is_not_inherited() {
    for world in World::both().await {
        fs::write(world.path("left-open"), "secret").expect("it is written");
        let file = fs::File::open(world.path("left-open")).expect("it opens");
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("it is ours");
        let output = world.run("for fd in /proc/self/fd/*; do readlink $fd; done; echo looked").await;
        let seen = text(&output.stdout);
        assert!(seen.contains("looked") && !seen.contains("left-open"), "{seen}");
        let descriptors = seen.lines().filter(|line| line.starts_with("pipe:")).count();
        assert!(descriptors <= 2, "more than the two streams: {seen}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    for world in World::both().await {
        let spec = Spec::new("nothing", &world.marker, "/usr/bin/no-such-program");
        let error = world.runtime.start(&spec, world.path("log")).await.expect_err("there is none");
        assert!(matches!(&error, StartError::NotFound { program, .. } if program == "/usr/bin/no-such-program"));
        assert_eq!(error.to_string(), "find the program `/usr/bin/no-such-program`");
        let error = world.runtime.run(&spec, BOUND, None).await.expect_err("there is none");
        assert!(matches!(error, RunError::Start { source: StartError::NotFound { .. }, .. }));
    }
}

#[tokio::test]
async fn a_file_that_is_no_program_is_named() {
    for world in World::both().await {
        fs::create_dir(world.path("tools")).expect("it is made");
        fs::write(world.path("tools/text"), "hello").expect("it is written");
        let mut spec = Spec::new("text", &world.marker, "/opt/tools/text");
        spec.binds = vec![Bind::read_only(world.path("tools"), "/opt/tools")];
        let error = world.runtime.start(&spec, world.path("log")).await.expect_err("it is no program");
        assert!(matches!(error, StartError::NotExecutable { .. }), "{error}");

        // One that looks like a program, and whose interpreter is missing, only fails when it is executed.
        fs::write(world.path("tools/text"), "#!/no/such/interpreter\n").expect("it is written");
        fs::set_permissions(world.path("tools/text"), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let error = world.runtime.start(&spec, world.path("log")).await.expect_err("it can't be executed");
        let told =
            format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(told.contains("/text") && told.contains("No such file"), "{told}");
    }
}

#[tokio::test]
async fn a_working_directory_that_does_not_exist_is_named() {
    for world in World::both().await {
        let mut spec = world.script("true");
        spec.cwd = "/no-such-directory".into();
        let error = world.runtime.start(&spec, world.path("log")).await.expect_err("there is none");
        let told =
            format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(told.contains("/no-such-directory"), "{told}");
    }
}

#[tokio::test]
async fn a_bind_that_does_not_exist_is_named() {
    for world in World::both().await {
        let mut spec = world.script("true");
        spec.binds = vec![Bind::read_only(world.path("missing"), "/opt/missing")];
        let error = world.runtime.start(&spec, world.path("log")).await.expect_err("there is none");
        assert!(matches!(&error, StartError::Bind { host, .. } if *host == world.path("missing")));
    }
}

#[tokio::test]
async fn the_working_directory_is_the_bound_one() {
    for world in World::both().await {
        fs::create_dir_all(world.path("project/src")).expect("it is made");
        let mut spec = world.script("pwd; touch made");
        let bind = Bind::read_write(world.path("project"), "/workspace");
        let expected = world.runtime.isolation().path_of(&bind).join("src");
        spec.binds = vec![bind];
        spec.cwd = "/workspace/src".into();
        let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
        assert_eq!(text(&output.stdout).trim(), expected);
        assert!(world.path("project/src/made").exists());
    }
}

#[tokio::test]
async fn what_a_program_prints_goes_to_its_log() {
    for world in World::both().await {
        let spec = world.script("echo out; echo err >&2; exit 3");
        let running = world.runtime.start(&spec, world.path("logs/a.log")).await.expect("it starts");
        assert_eq!(running.exited().await.cause, Cause::Code(3));
        assert_eq!(running.log().tail(1000).expect("it reads"), "out\nerr\n");
        assert_eq!(fs::read_dir(world.path("state")).map_or(0, Iterator::count), 0, "notes are left");
    }
}

#[tokio::test]
async fn everyone_who_waits_is_told_the_same_end() {
    for world in World::both().await {
        let spec = world.script("sleep $NAP");
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        // One waiter that has begun and is never looked at again must not hold up the others.
        let mut forgotten = Box::pin(running.exited());
        assert!(futures_poll_once(&mut forgotten).await.is_none());
        let (waited, stopped) = tokio::join!(running.exited(), running.stop(GRACE));
        assert_eq!(waited, stopped.expect("it stops"));
        assert_eq!(waited.cause, Cause::Signal(15));
        assert_eq!(running.exited().await, waited);
        assert_eq!(running.stop(GRACE).await.expect("it has stopped"), waited);
        assert_eq!(forgotten.await, waited);
    }
}

async fn futures_poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_program_may_end_in_peace_when_it_is_stopped() {
    for world in World::both().await {
        let spec = world.script("trap 'echo bye; exit 5' TERM; echo ready; sleep $NAP & wait");
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        world.wait_for_log(running.log().path(), "ready").await;
        let ending = running.stop(BOUND).await.expect("it stops");
        assert_eq!(ending.cause, Cause::Code(5));
        assert_eq!(running.log().tail(1000).expect("it reads"), "ready\nbye\n");
        world.wait_for_naps(0).await;
    }
}

#[tokio::test]
async fn stopping_kills_what_ignores_it_and_what_left_its_family() {
    for world in World::both().await {
        let spec = world.script(
            "trap '' TERM
             sleep $NAP &
             setsid sleep $NAP &
             ( setsid sh -c 'sleep $NAP & sleep $NAP & wait' & )
             sh -c '( sh -c \"( setsid sleep $NAP & )\" & )'
             while true; do sleep $NAP; done",
        );
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        world.wait_for_naps(6).await;
        let ending = running.stop(GRACE).await.expect("it stops");
        assert_eq!(ending.cause, Cause::Signal(9));
        assert!(world.naps().is_empty(), "somebody survived");
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    for world in World::both().await {
        let spec = world.script("setsid sleep $NAP & sleep $NAP & echo started; exit 4");
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        assert_eq!(running.exited().await.cause, Cause::Code(4));
        assert!(world.naps().is_empty());
        // The same for one that is run to its end: its streams are held open by what it left.
        let output = world.run("setsid sleep $NAP & echo started").await;
        assert_eq!(text(&output.stdout), "started\n");
        assert!(world.naps().is_empty());
    }
}

#[tokio::test]
async fn a_run_ends_though_somebody_escaped_with_its_output() {
    // Session, parent and environment all left behind: without a sandbox nobody finds that one.
    let world = World::unsandboxed();
    let script = format!("env -i /bin/sh -c '( setsid /bin/sleep {} & )'; echo done", world.nap);
    let output = world.run(&script).await;
    assert!(output.ending.success());
    assert_eq!(text(&output.stdout), "done\n");
    // On a busy machine it may still be on its way to what it becomes; its words hold the number all the way.
    wait_for("nobody", || {
        let found = processes_that_say(&world.nap);
        for pid in &found {
            let pid = rustix::process::Pid::from_raw((*pid).try_into().expect("a pid")).expect("not zero");
            // It may have ended by itself meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        found.is_empty()
    })
    .await;
}

#[tokio::test]
async fn at_its_bound_a_program_is_killed_whole() {
    for world in World::both().await {
        let spec = world.script("echo working; setsid sleep $NAP & (sleep $NAP &) ; sleep $NAP");
        let bound = Duration::from_millis(700);
        let error = world.runtime.run(&spec, bound, None).await.expect_err("it would sleep for an hour");
        assert!(matches!(&error, RunError::TooLong { said, .. } if said == "working"), "{error}");
        assert!(world.naps().is_empty());
        assert_eq!(fs::read_dir(world.path("state")).map_or(0, Iterator::count), 0, "notes are left");
    }
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_killed_whole() {
    for world in World::both().await {
        let spec = world.script("setsid sleep $NAP & sleep $NAP");
        let runtime = world.runtime.clone();
        tokio::select! {
            _ = runtime.run(&spec, BOUND, None) => panic!("it would sleep for an hour"),
            () = world.wait_for_naps(2) => {}
        }
        assert!(world.naps().is_empty());
    }
}

#[tokio::test]
async fn a_start_that_is_dropped_at_any_moment_leaves_nothing() {
    for world in World::both().await {
        let spec = world.script("sleep $NAP");
        for moment in 0..30 {
            let start = world.runtime.start(&spec, world.path("log"));
            match tokio::time::timeout(Duration::from_micros(moment * 400), start).await {
                Ok(started) => {
                    started.expect("it starts").stop(GRACE).await.expect("it stops");
                }
                Err(_dropped) => {}
            }
            assert!(world.naps().is_empty(), "dropped at {moment}");
            let found = world.runtime.sweep(&world.marker, &[]).await;
            assert_eq!(found.killed, [], "dropped at {moment}");
        }
        assert_eq!(fs::read_dir(world.path("state")).map_or(0, Iterator::count), 0, "notes are left");
    }
}

#[tokio::test]
async fn a_log_is_rotated_while_its_program_goes_on() {
    for world in World::both().await {
        let script =
            format!("head -c {LOG_MAX_BYTES} /dev/zero | tr '\\0' x; echo; while true; do echo tick; sleep 0.1; done");
        let running = world.runtime.start(&world.script(&script), world.path("log")).await.expect("it starts");
        let rotated = world.path("log.1");
        tokio::select! {
            ending = running.exited() => panic!("it {ending}"),
            () = wait_for("the rotation", || rotated.exists()) => {}
        }
        world.wait_for_log(running.log().path(), "tick").await;
        assert_eq!(fs::metadata(&rotated).expect("it is there").len(), LOG_MAX_BYTES);
        assert!(fs::metadata(world.path("log")).expect("it is there").len() < LOG_MAX_BYTES);
        running.stop(GRACE).await.expect("it stops");
    }
}

#[tokio::test]
async fn priority_and_score_are_set() {
    for world in World::both().await {
        let mut spec = world.script("sleep 0.5; nice; cat /proc/self/oom_score_adj; cat /proc/self/autogroup || true");
        spec.nice = Some(7);
        spec.oom_score_adj = Some(500);
        let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
        let said = text(&output.stdout);
        let (own, session) = said.split_at(said.len().min("7\n500\n".len()));
        assert_eq!(own, "7\n500\n");
        // Where the kernel weighs sessions against each other. The root session, of a kernel that doesn't, has none.
        if std::path::Path::new("/proc/self/autogroup").exists() && !session.is_empty() {
            assert!(session.ends_with(" nice 7\n"), "{session}");
        }
    }
}

#[tokio::test]
async fn a_limit_on_memory_holds_where_it_is_said_to() {
    for world in World::both().await {
        // `tail` keeps its whole input, as that has no newline.
        let mut spec = world.script("sleep 0.2; head -c 200000000 /dev/zero | tail -c 150000000 | wc -c");
        spec.limits = Limits { memory: Some(48 * 1024 * 1024), processes: None };
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        let enforceable = world.runtime.enforceable().memory;
        assert_eq!(running.enforced().memory, enforceable);
        let ending = running.exited().await;
        assert_eq!(ending.out_of_memory, enforceable, "{ending}");
        let counted = running.log().tail(1000).expect("it reads").contains("150000000");
        assert_eq!(counted, !enforceable);
    }
}

#[tokio::test]
async fn a_limit_on_processes_holds_where_it_is_said_to() {
    for world in World::both().await {
        let mut spec = world.script("sleep 0.2; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep $NAP & done; echo all");
        spec.limits = Limits { memory: None, processes: Some(8) };
        let enforceable = world.runtime.enforceable().processes;
        let output = world.runtime.run(&spec, BOUND, None).await.expect("it runs");
        assert_eq!(text(&output.stdout).contains("all"), !enforceable, "{}", output.errors());
        assert!(world.naps().is_empty());
    }
}

#[tokio::test]
async fn the_memory_of_all_its_processes_is_told() {
    for world in World::both().await {
        let spec = world.script("sleep $NAP & sleep $NAP & wait");
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        world.wait_for_naps(2).await;
        let other = format!("{}-of-nobody", world.marker);
        let used = async || world.runtime.memory_bytes([world.marker.clone(), other.clone()].into()).await;
        let bytes = used().await;
        assert_eq!(bytes.keys().collect::<Vec<_>>(), [&world.marker]);
        assert!((100_000..500_000_000).contains(&bytes[&world.marker]), "{bytes:?}");
        // What changes its own environment is still of whoever started it.
        let hidden = world.script("sleep $NAP & env -i /bin/sleep $NAP & wait");
        let more = world.runtime.start(&hidden, world.path("more")).await.expect("it starts");
        world.wait_for_naps(4).await;
        assert!(used().await[&world.marker] > bytes[&world.marker]);
        more.stop(GRACE).await.expect("it stops");
        running.stop(GRACE).await.expect("it stops");
        assert_eq!(used().await, std::collections::HashMap::new());
    }
}
