//! What must not compile.

#[test]
fn misuse_does_not_compile() {
    // What the compiler says is pinned with it; other versions word it otherwise.
    if cfg!(miri) {
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
