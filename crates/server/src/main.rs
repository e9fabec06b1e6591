//! The `doce` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    doce_server::main()
}
