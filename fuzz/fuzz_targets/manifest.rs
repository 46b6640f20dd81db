//! A manifest for `explain -f`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_sidecar::fuzzing::manifest(text));
