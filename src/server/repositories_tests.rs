//! Tests of names.

use super::*;

#[test]
fn names_that_a_route_or_a_path_could_misread_are_refused() {
    for bad in [
        "", ".", "..", ".x", "-x", "a/b", "a b", "repos", "api-keys", "x.git", "x.GIT", "\u{fc}",
    ] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
    assert!(check_name(&"x".repeat(101)).is_err());
    for good in ["a", "A.b_c-d", "whoami", "git"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
}
