#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    s3z_fuzz::properties::archive::holds(data);
});
