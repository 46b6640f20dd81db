//! An answer of an API of the cloud.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_sidecar::fuzzing::answer(text));
