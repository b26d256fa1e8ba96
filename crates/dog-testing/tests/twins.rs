//! An App with two Groups of one name must not compile for the test kit. `cargo xtask test unit` builds this with `--cfg twins`; otherwise
//! it is empty.

#[cfg(twins)]
#[path = "../../dog-conformance/tests/twins/mod.rs"]
mod twins;

#[cfg(twins)]
#[test]
fn two_groups_of_one_name_do_not_compile() {
    let _ = dog_testing::Cluster::new(twins::Twins);
}
