//! The tunerd binary: settings in, exit code out.

mod app;

fn main() -> std::process::ExitCode {
    app::main()
}
