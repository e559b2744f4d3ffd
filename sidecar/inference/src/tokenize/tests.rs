use super::*;

mod fuzz;

#[test]
fn a_parser_that_panics_is_an_error() {
    let outcome: Result<(), String> = parsed(|| panic!("an assertion of a library"));
    assert!(outcome.is_err_and(|message| message.contains("gave up")));
}
