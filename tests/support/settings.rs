//! Runs the same cases several times, once of them against std itself, so that std decides what is
//! right.

/// Declares the settings for the `files` of a folder, which use `net`, `os`, `thread` and `enter`.
macro_rules! settings {
    ($folder:literal, $files:tt) => {
        settings!(@one $folder, std_itself, std, std, |case: fn()| case(), $files);
        settings!(@one $folder, green, rustlet, rustlet, |case: fn()| rustlet::run(case), $files);
        settings!(@one $folder, one_worker, rustlet, rustlet, crate::settings::on_one_worker, $files);
        settings!(@one $folder, os_threads, rustlet, std, |case: fn()| case(), $files);
        settings!(@one $folder, mixed, rustlet, rustlet, |case: fn()| case(), $files);
    };
    (@one $folder:literal, $name:ident, $root:ident, $threads:ident, $enter:expr, [$($file:ident),*]) => {
        #[path = $folder]
        mod $name {
            #[allow(unused_imports, reason = "not every folder needs all")]
            use $root::{net, os};
            use $threads::thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            $(mod $file;)*
        }
    };
}

pub(crate) fn on_one_worker<T: Send>(case: impl FnOnce() -> T + Send) -> T {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .expect("a runtime")
        .run(case)
}
