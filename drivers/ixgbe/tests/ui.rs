//! What must not compile: misuse that the driver's types rule out.

#[test]
fn misuse_does_not_compile() {
    // What the compiler says is pinned with it, so each fails for its reason; other versions word it otherwise.
    if cfg!(miri) {
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
