//! The user's items do not change the meaning of `select!`, whatever their names.

/// Names that a binding in the macro could have: each would make a pattern of it, or another value.
mod constants {
    #![allow(
        non_upper_case_globals,
        non_camel_case_types,
        dead_code,
        reason = "declares names in every style"
    )]

    const place: u8 = 1;
    const handle: u8 = 1;
    const index: u8 = 1;
    const case: u8 = 1;
    const cases: u8 = 1;
    const biased: u8 = 1;
    const limit: u8 = 1;
    const message: u8 = 1;
    const chosen: u8 = 1;
    static receiver: u8 = 1;
    static sender: u8 = 1;
    static operation: u8 = 1;
    static which: u8 = 1;
    struct list;
    struct slot;
    struct result;
    struct value;

    #[test]
    fn a_constant_of_any_name() {
        let (out, into) = ::rustlet::channel::bounded(1);
        let sent = ::rustlet::channel::select! {
            recv(into) -> _ => false,
            send(out, place + handle) -> done => done.is_ok(),
        };
        assert!(sent);
        let got = ::rustlet::channel::select_biased! {
            recv(into) -> got => got,
            recv(::rustlet::channel::never::<u8>()) -> _ => ::core::unreachable!(),
            default(::std::time::Duration::MAX) => ::core::unreachable!(),
        };
        assert_eq!(got, Ok(2));
        ::rustlet::channel::select! {
            recv(into) -> _ => ::core::unreachable!(),
            default => {}
        }
    }
}

/// Names of types, variants, functions, modules and macros that the macro needs.
mod paths {
    #![allow(
        non_camel_case_types,
        dead_code,
        unused_macros,
        unused_macro_rules,
        reason = "declares names in every style"
    )]

    mod core {}
    mod std {}
    mod alloc {}
    mod rustlet {}
    mod channel {}
    mod internal {}
    enum Some {}
    enum None {}
    enum Ok {}
    enum Err {}
    enum Option {}
    enum Result {}
    enum SelectTimeout {}
    enum Receiving {}
    enum Sending {}
    enum Chosen {}
    enum Receiver {}
    enum Sender {}
    enum After {}
    enum Never {}
    enum Immediate {}
    enum bool {}
    enum u8 {}
    fn select() {}
    fn choose() {}
    fn receiver() {}
    fn sender() {}
    fn no_arm_chosen() {}
    fn new() {}
    fn drop() {}
    macro_rules! shadow {
        (@with $d:tt $($name:ident)*) => {
            $(#[allow(unused_macros, reason = "the macro must not use them")]
            macro_rules! $name { ($d($d any:tt)*) => { ::core::compile_error!("the user's macro was used") } })*
        };
    }
    shadow!(@with $ unreachable panic assert compile_error concat stringify matches vec);

    #[test]
    fn an_item_of_any_name() {
        let (out, into) = ::rustlet::channel::unbounded();
        ::rustlet::channel::select! {
            recv(into) -> _ => ::std::process::abort(),
            send(out, 7) -> sent => sent.unwrap(),
        }
        let got: i32 = ::rustlet::channel::select! {
            recv(into) -> got => got.unwrap(),
            default(::std::time::Duration::MAX) => 0,
        };
        if got != 7 {
            ::std::process::abort();
        }
        ::rustlet::channel::select_biased! {
            recv(into) -> _ => ::std::process::abort(),
            default => {}
        }
    }
}

/// Traits of the user for all types, whose methods take `self`: they come before methods that take
/// `&self`.
mod methods {
    #![allow(
        dead_code,
        clippy::wrong_self_convention,
        clippy::new_ret_no_self,
        reason = "the macro must not call them"
    )]

    trait Everything: Sized {
        fn new(self) -> ! {
            panic!("the user's method was called")
        }
        fn case<T>(self, _: T) -> ! {
            panic!("the user's method was called")
        }
        fn is_chosen(self) -> ! {
            panic!("the user's method was called")
        }
        fn finish(self) -> ! {
            panic!("the user's method was called")
        }
        fn choose<T>(self, _: T) -> ! {
            panic!("the user's method was called")
        }
        fn send<T>(self, _: T) -> ! {
            panic!("the user's method was called")
        }
        fn as_ref(self) -> ! {
            panic!("the user's method was called")
        }
        fn borrow(self) -> ! {
            panic!("the user's method was called")
        }
        fn deref(self) -> ! {
            panic!("the user's method was called")
        }
    }
    impl<T> Everything for T {}

    #[test]
    fn a_method_of_any_name() {
        let (out, into) = rustlet::channel::unbounded();
        rustlet::channel::select! {
            recv(into) -> _ => unreachable!(),
            send(out, 7) -> sent => assert_eq!(sent, Ok(())),
        }
        rustlet::channel::select! {
            recv(into) -> got => assert_eq!(got, Ok(7)),
            send(&&out, 7) -> _ => {}
        }
    }
}

/// The user's own variables with the macro's names are visible to its expressions and bodies.
mod variables {
    #[test]
    fn a_variable_of_any_name() {
        let (handle, place) = rustlet::channel::unbounded();
        let sent = rustlet::channel::select! {
            send(handle, 1) -> place => place.is_ok(),
            recv(place) -> handle => handle.is_ok(),
        };
        assert!(sent);
        let index = rustlet::channel::select! {
            recv(place) -> index => index.unwrap() + place.len(),
        };
        assert_eq!(index, 1);
    }

    /// `break`, `return`, `?` and labels in a body belong to the user.
    #[test]
    fn a_body_leaves_the_users_loop() {
        fn first() -> Result<usize, rustlet::channel::RecvError> {
            let (sender, receiver) = rustlet::channel::unbounded();
            sender.send(3).unwrap();
            drop(sender);
            let mut got = 0;
            'users: loop {
                rustlet::channel::select! {
                    recv(receiver) -> message => match got {
                        0 => got = message?,
                        _ => break 'users,
                    },
                }
            }
            Ok(got)
        }
        assert_eq!(first(), Ok(3));
    }
}
