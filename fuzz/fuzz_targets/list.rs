//! A list of the API server.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_sidecar::fuzzing::list(text));
