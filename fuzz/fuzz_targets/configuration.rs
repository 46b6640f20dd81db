//! A configuration in any of its forms.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| acr_credential_sidecar::fuzzing::configuration(text));
