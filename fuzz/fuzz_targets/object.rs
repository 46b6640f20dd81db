//! An object of a list or a watch.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_sidecar::fuzzing::object(text));
