//! The end.

use crate::script::{check, check_live};

#[test]
fn session_is_deleted_and_nothing_follows() {
    for end in ["5: 204", "5: 405", "5: lost", "+3s tick"] {
        let abort = if end.contains("tick") { "abort 5" } else { "" };
        check_live(&format!(
            "
            > app request 7
              post 4 [s1 2025-11-25] request 7
            > 4: 200
            > 4: event a
            > close
              abort 4
              delete 5 [s1 2025-11-25]
            > app request 8
              fail 8: not sent: the session is not initialized
            > close
            > {end}
              {abort}
              finish
            > app request 9
            > +60s tick
            "
        ));
    }
}

#[test]
fn without_a_session_the_end_is_immediate() {
    check(
        "
        > close
          finish
        ",
    );
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > close
          abort 1
          finish
        ",
    );
}
