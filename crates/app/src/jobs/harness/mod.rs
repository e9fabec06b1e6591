//! Every kind of Job goes through the harness: each step repeated, failed, undone twice, killed and resumed,
//! and a launch is cancelled in each of its steps.
//!
//! The worlds are real but for OpenCode, which is the fake: real processes in real sandboxes, a real database, and a
//! doce that is killed by ending the runtime all its tasks are in. `machine` has what they share.

mod delivering;
mod launching;
mod machine;
mod prompting;
mod starting;
mod stopping;
mod verifying;

/// Puts a kind of Job, in a world, through the tests of the harness that are named.
macro_rules! harness {
    ($kind:ident in $world:ty: $($name:ident = $test:ident,)+) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    doce_jobs::harness::$test::<$world>().await;
                }
            )+
        }
    };
}

/// A kind that takes back what it did.
macro_rules! undone {
    ($kind:ident in $world:ty) => {
        harness! { $kind in $world:
            is_done_once_with_every_step_repeated = every_step_repeated_succeeds,
            resumes_wherever_it_is_killed = killed_after_every_step_resumes,
            is_undone_whichever_step_fails = every_step_failed_unwinds,
            is_undone_once_with_every_undo_repeated = every_undo_repeated_unwinds,
            is_undone_wherever_it_is_killed = killed_after_every_undo_unwinds,
        }
    };
}

/// A kind that does not: whoever asks again gets the rest of it done.
macro_rules! done_by_the_next {
    ($kind:ident in $world:ty) => {
        harness! { $kind in $world:
            is_done_once_with_every_step_repeated = every_step_repeated_succeeds,
            resumes_wherever_it_is_killed = killed_after_every_step_resumes,
            is_done_by_the_next_one_whichever_step_fails = every_step_failed_unwinds,
        }
    };
}

undone!(launch_project in super::launching::Launch);
undone!(start_project in super::starting::Start);
undone!(send_prompt in super::prompting::Send);
done_by_the_next!(stop_project in super::stopping::Stop);
done_by_the_next!(delete_project in super::stopping::Delete);
done_by_the_next!(apply_delivery_of_a_replaced_key in super::delivering::Replace);
done_by_the_next!(apply_delivery_of_a_disconnection in super::delivering::Disconnect);
done_by_the_next!(verify_connection in super::verifying::Withdrawn);

harness! { launch_project_that_is_cancelled in super::launching::Launch:
    is_undone_in_whichever_step = every_step_cancelled_unwinds,
}

// The launch waits in the middle, and says nothing before it has a key.
harness! { launch_project_that_waits_for_a_key in super::launching::LaunchWithoutKey:
    is_done_once_with_every_step_repeated = every_step_repeated_succeeds,
    resumes_wherever_it_is_killed = killed_after_every_step_resumes,
    is_undone_whichever_step_fails = every_step_failed_unwinds,
}

// A launch that was undone left no workspace: a start makes one, and takes it back.
harness! { start_project_after_a_launch_that_failed in super::starting::StartAnew:
    is_undone_whichever_step_fails = every_step_failed_unwinds,
}
