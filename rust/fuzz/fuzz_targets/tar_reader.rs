#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    s3z_fuzz::properties::tar_reader::holds(data);
});
