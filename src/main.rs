//! The `mesa` binary: hands over to [`mesa::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    mesa::cli::main()
}
