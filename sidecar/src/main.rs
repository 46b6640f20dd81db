//! The `acr-credential-sidecar` command.

fn main() -> std::process::ExitCode {
    acr_credential_sidecar::run()
}
