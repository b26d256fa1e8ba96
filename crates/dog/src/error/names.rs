//! For the compiler's messages: what it finds for `Error::NoRoom` and the like, which many libraries have. Their type says in
//! its name what to use instead.

use super::Error;

/// Errors are told apart with methods: `error.is_no_room()`.
#[doc(hidden)]
#[derive(Debug)]
pub struct ErrorsAreToldApartWithMethodsLikeIsNoRoom;

macro_rules! names {
    ($($name:ident)*) => {
        #[allow(non_upper_case_globals, reason = "they look like the variants of an enum")]
        impl Error {
            $(
                #[doc(hidden)]
                pub const $name: ErrorsAreToldApartWithMethodsLikeIsNoRoom = ErrorsAreToldApartWithMethodsLikeIsNoRoom;
            )*
        }
    };
}
names!(InvalidClient InvalidId Encoding TooLarge NoRoom NoTicket Closed Deadline Unreachable Handler Storage Conflict);
