//! The books of one life of a Group, from the moment that the members of earlier lives are read: [`BooksOfLife`]. They come
//! before the user's value, so that a Group whose `activate` fails or hangs still reaches its sockets.

use std::cell::RefCell;
use std::rc::Rc;

use dog::internal::LocalFuture;
use dog::{Epoch, Error};
use futures_util::FutureExt;
use futures_util::future::Shared;

use super::member_records;
use crate::address::GroupAddress;
use crate::books::Books;
use crate::host::Host;

/// Books that are open.
pub(super) type OpenBooks = Rc<RefCell<Books>>;

type Opening = Shared<LocalFuture<Result<OpenBooks, Rc<Error>>>>;

/// The books, read at their first use.
#[derive(Default)]
pub(super) struct BooksOfLife(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Opening(Opening),
    Open(OpenBooks),
}

impl BooksOfLife {
    /// The books, if they are open.
    pub(super) fn get(&self) -> Option<OpenBooks> {
        match &*self.0.borrow() {
            State::Open(books) => Some(Rc::clone(books)),
            State::Closed | State::Opening(_) => None,
        }
    }

    /// Reads the members, unless the books are open. All who wait share one reading; after a failure the next one reads again.
    pub(super) async fn open<H: Host>(
        &self,
        host: &Rc<H>,
        group: GroupAddress,
        epoch: Epoch,
    ) -> Result<OpenBooks, Error> {
        if let Some(books) = self.get() {
            return Ok(books);
        }
        let opening = match &*self.0.borrow() {
            State::Opening(opening) => Some(opening.clone()),
            State::Closed | State::Open(_) => None,
        };
        let opening = opening.unwrap_or_else(|| {
            let opening = read(Rc::clone(host), group, epoch).shared();
            self.0.replace(State::Opening(opening.clone()));
            opening
        });
        match opening.await {
            Ok(books) => {
                if self.get().is_none() {
                    self.0.replace(State::Open(Rc::clone(&books)));
                }
                Ok(books)
            }
            Err(error) => {
                self.0.replace(State::Closed);
                Err(Error::new(error.kind(), error.to_string()))
            }
        }
    }
}

fn read<H: Host>(host: Rc<H>, group: GroupAddress, epoch: Epoch) -> LocalFuture<Result<OpenBooks, Rc<Error>>> {
    Box::pin(async move {
        let members = member_records::load(&*host, group).await.map_err(Rc::new)?;
        Ok(Rc::new(RefCell::new(Books::open(epoch, members))))
    })
}
