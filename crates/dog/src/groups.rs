//! The Groups of an App, as a tuple: [`Groups`].

use crate::group::Group;
use crate::group_names;

/// A tuple of up to eight [`Group`] types. Each has a [`NAME`](Group::NAME) of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple of Groups",
    label = "not a tuple of up to eight types that implement `Group`",
    note = "a tuple of one has a comma: `type Groups = (Lobby,);`"
)]
pub trait Groups: 'static {
    #[doc(hidden)]
    const NAMES: &'static [&'static str];
    #[doc(hidden)]
    fn visit(visitor: &mut impl GroupVisitor);
}

/// Is called with every Group type of an App in turn.
#[doc(hidden)]
pub trait GroupVisitor {
    /// `G` is one of them.
    fn visit<G: Group>(&mut self);
}

macro_rules! groups {
    ($($group:ident)*) => {
        impl<$($group: Group),*> Groups for ($($group,)*) {
            const NAMES: &'static [&'static str] = &[$($group::NAME),*];

            #[allow(unused_variables, reason = "an App without Groups visits none")]
            fn visit(visitor: &mut impl GroupVisitor) {
                // Every host calls this, so no host can be built for an App whose Groups share a name.
                const {
                    assert!(
                        group_names::are_distinct(Self::NAMES),
                        "two Groups of App::Groups have the same Group::NAME, so one would answer for the other: give \
                         each its own"
                    );
                }
                $(visitor.visit::<$group>();)*
            }
        }
    };
}
groups!();
groups!(A);
groups!(A B);
groups!(A B C);
groups!(A B C D);
groups!(A B C D E);
groups!(A B C D E F);
groups!(A B C D E F G);
groups!(A B C D E F G H);
