//! Locks of mutexes, and permits of semaphores.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rustlet::future::timeout;
use rustlet::sync::{AcquireError, Mutex, Semaphore};
use std::time::Duration;

use super::{
    assert_pending, block_on_os_thread, everywhere, tell, waker_of_an_ended_thread, woken,
};

fn poll_once<F: Future + Unpin>(
    future: &mut F,
) -> impl FnOnce(&mut Context<'_>) -> Poll<F::Output> {
    |context| Pin::new(future).poll(context)
}

#[test]
fn a_lock_waits_for_the_guard_of_a_thread() {
    everywhere(async || {
        let mutex = Arc::new(Mutex::new(1));
        assert_eq!(*mutex.lock_async().await.unwrap(), 1);
        let (waker, told) = tell();
        let guard = mutex.lock().unwrap();
        let mut lock = mutex.lock_async();
        assert_pending(poll_once(&mut lock), &waker);
        assert!(told.is_empty());
        drop(guard);
        woken(&told);
        *lock.await.unwrap() += 1;
        // And the other way round.
        let guard = mutex.lock_async().await.unwrap();
        let thread = {
            let mutex = Arc::clone(&mutex);
            rustlet::spawn(move || *mutex.lock().unwrap())
        };
        drop(guard);
        assert_eq!(thread.await.unwrap(), 2);
    });
}

#[test]
fn a_poisoned_mutex_is_locked_all_the_same() {
    everywhere(async || {
        let mutex = Arc::new(Mutex::new(1));
        let other = Arc::clone(&mutex);
        let panics = rustlet::spawn(move || {
            let _guard = other.lock().unwrap();
            std::panic::resume_unwind(Box::new("as meant"));
        });
        assert!(panics.await.is_err());
        let guard = mutex.lock_async().await.unwrap_err().into_inner();
        assert_eq!(*guard, 1);
        // With a wait, too.
        let (waker, told) = tell();
        let mut lock = mutex.lock_async();
        assert_pending(poll_once(&mut lock), &waker);
        drop(guard);
        woken(&told);
        assert!(lock.await.is_err());
    });
}

/// Waiters behind a future that is dropped get what it waited for.
#[test]
fn a_lock_that_is_dropped_is_passed_on() {
    everywhere(async || {
        let mutex = Mutex::new(());
        let ((first, first_told), (second, second_told)) = (tell(), tell());
        // Dropped while it waits.
        let guard = mutex.lock().unwrap();
        let (mut one, mut other) = (mutex.lock_async(), mutex.lock_async());
        assert_pending(poll_once(&mut one), &first);
        assert_pending(poll_once(&mut other), &second);
        drop(one);
        drop(guard);
        woken(&second_told);
        drop(other.await);
        assert!(first_told.is_empty());
        // Dropped after it was woken, while the mutex is free.
        let guard = mutex.lock().unwrap();
        let (mut one, mut other) = (mutex.lock_async(), mutex.lock_async());
        assert_pending(poll_once(&mut one), &first);
        assert_pending(poll_once(&mut other), &second);
        drop(guard);
        woken(&first_told);
        assert!(second_told.is_empty());
        drop(one);
        woken(&second_told);
        drop(other.await);
        // Dropped after it was woken, while another thread has taken the mutex.
        let guard = mutex.lock().unwrap();
        let (mut one, mut other) = (mutex.lock_async(), mutex.lock_async());
        assert_pending(poll_once(&mut one), &first);
        assert_pending(poll_once(&mut other), &second);
        drop(guard);
        let guard = mutex.try_lock().unwrap();
        drop(one);
        drop(guard);
        woken(&second_told);
        drop(other.await);
        assert!(mutex.try_lock().is_ok());
    });
}

/// A thread of the same worker that keeps the lock across waits: the task is handed the lock.
#[test]
fn a_lock_is_handed_over_to_a_task_and_passed_on_when_that_is_dropped() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let mutex = Mutex::new(());
        for is_dropped in [false, true] {
            let (waker, told) = tell();
            let guard = mutex.lock().unwrap();
            let mut lock = mutex.lock_async();
            assert_pending(poll_once(&mut lock), &waker);
            drop(guard);
            woken(&told);
            // Taken before the woken task: it demands the lock, and no thread may take it now.
            let guard = mutex.lock().unwrap();
            assert_pending(poll_once(&mut lock), &waker);
            drop(guard);
            woken(&told);
            assert!(mutex.try_lock().is_err());
            match is_dropped {
                true => drop(lock),
                false => drop(rustlet::block_on(lock)),
            }
            assert!(mutex.try_lock().is_ok());
        }
    });
}

#[test]
fn locks_polled_by_two_wakers_in_turn() {
    everywhere(async || {
        let mutex = Mutex::new(());
        let semaphore = Semaphore::new(0);
        let guard = mutex.lock().unwrap();
        let ((first, not_told), (last, told)) = (tell(), tell());
        let mut lock = mutex.lock_async();
        let mut acquire = semaphore.acquire_async();
        for waker in [&first, &waker_of_an_ended_thread(), &last] {
            assert_pending(poll_once(&mut lock), waker);
            assert_pending(poll_once(&mut acquire), waker);
        }
        drop(guard);
        woken(&told);
        drop(lock.await);
        semaphore.add_permits(1);
        woken(&told);
        drop(acquire.await.unwrap());
        drop(first);
        assert!(not_told.recv().is_err());
    });
}

/// The waker of a thread that has ended does nothing, and stops no other waiter.
#[test]
fn woken_after_the_thread_has_ended() {
    everywhere(async || {
        let mutex = Mutex::new(());
        let semaphore = Semaphore::new(0);
        let guard = mutex.lock().unwrap();
        let (mut lock, mut acquire) = (mutex.lock_async(), semaphore.acquire_async());
        let ended = waker_of_an_ended_thread();
        assert_pending(poll_once(&mut lock), &ended);
        assert_pending(poll_once(&mut acquire), &ended);
        drop(guard);
        semaphore.add_permits(1);
        drop(lock.await);
        acquire.await.unwrap().forget();
    });
}

#[test]
fn permits_are_given_in_order() {
    everywhere(async || {
        let semaphore = Semaphore::new(1);
        let ((first, first_told), (second, second_told)) = (tell(), tell());
        let (mut many, mut one) = (semaphore.acquire_many_async(2), semaphore.acquire_async());
        assert_pending(poll_once(&mut many), &first);
        // There is one, but another task waits before it.
        assert_pending(poll_once(&mut one), &second);
        assert!(semaphore.try_acquire().is_err());
        semaphore.add_permits(1);
        woken(&first_told);
        let many = many.await.unwrap();
        assert_eq!(many.num_permits(), 2);
        assert!(second_told.is_empty());
        drop(many);
        woken(&second_told);
        drop(one.await.unwrap());
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn permits_of_a_future_that_is_dropped_go_to_the_next() {
    everywhere(async || {
        let semaphore = Semaphore::new(1);
        let ((first, first_told), (second, second_told)) = (tell(), tell());
        // Dropped while it waits: the one behind it wants less.
        let (mut many, mut one) = (semaphore.acquire_many_async(2), semaphore.acquire_async());
        assert_pending(poll_once(&mut many), &first);
        assert_pending(poll_once(&mut one), &second);
        drop(many);
        woken(&second_told);
        let permit = one.await.unwrap();
        // Dropped after it was given them.
        let (mut one, mut other) = (semaphore.acquire_async(), semaphore.acquire_async());
        assert_pending(poll_once(&mut one), &first);
        assert_pending(poll_once(&mut other), &second);
        drop(permit);
        woken(&first_told);
        assert_eq!(semaphore.available_permits(), 0);
        drop(one);
        woken(&second_told);
        drop(other.await.unwrap());
        assert_eq!(semaphore.available_permits(), 1);
        assert!(first_told.is_empty());
    });
}

#[test]
fn a_closed_semaphore_ends_the_waits_of_tasks() {
    everywhere(async || {
        let semaphore = Arc::new(Semaphore::new(0));
        let (waker, told) = tell();
        let mut acquire = semaphore.acquire_async();
        assert_pending(poll_once(&mut acquire), &waker);
        semaphore.close();
        woken(&told);
        let _closed: AcquireError = acquire.await.unwrap_err();
        assert!(semaphore.acquire_async().await.is_err());
        assert!(semaphore.acquire_owned_async().await.is_err());
    });
}

#[test]
fn owned_permits_of_tasks() {
    everywhere(async || {
        let semaphore = Arc::new(Semaphore::new(3));
        let one = Arc::clone(&semaphore).acquire_owned_async().await.unwrap();
        let mut two = Box::pin(Arc::clone(&semaphore).acquire_many_owned_async(3));
        let (waker, told) = tell();
        assert_pending(|context| two.as_mut().poll(context), &waker);
        drop(one);
        woken(&told);
        let all = two.await.unwrap();
        assert_eq!((all.num_permits(), semaphore.available_permits()), (3, 0));
        drop(all);
        assert_eq!(semaphore.available_permits(), 3);
    });
}

/// Green threads, tasks on OS threads, and futures that are dropped all the time share a mutex and
/// a semaphore.
#[test]
fn tasks_and_threads_exclude_each_other() {
    const EACH: usize = 500;
    let mutex = &Mutex::new(0);
    let semaphore = &Semaphore::new(2);
    let inside = &AtomicUsize::new(0);
    let use_permit = || {
        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
        std::thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    let tasks = async || {
        for _ in 0..EACH {
            let waited = timeout(Duration::ZERO, mutex.lock_async()).await;
            match waited {
                Ok(guard) => *guard.unwrap() += 1,
                Err(_) => *mutex.lock_async().await.unwrap() += 1,
            }
            drop(timeout(Duration::ZERO, semaphore.acquire_many_async(2)).await);
            let permit = semaphore.acquire_async().await.unwrap();
            use_permit();
            drop(permit);
        }
    };
    let threads = || {
        for _ in 0..EACH {
            *mutex.lock().unwrap() += 1;
            let permit = semaphore.acquire().unwrap();
            use_permit();
            drop(permit);
        }
    };
    std::thread::scope(|s| {
        s.spawn(|| block_on_os_thread(tasks()));
        s.spawn(|| rustlet::block_on(tasks()));
        s.spawn(|| {
            rustlet::Builder::new().workers(2).build().unwrap().run(|| {
                rustlet::scope(|s| {
                    s.spawn(threads);
                    s.spawn(threads);
                    s.spawn(|| rustlet::block_on(tasks()));
                });
            });
        });
    });
    assert_eq!(*mutex.lock().unwrap(), 5 * EACH);
    assert_eq!(semaphore.available_permits(), 2);
}

/// Executors with several OS threads move futures between them.
#[test]
fn locks_can_be_sent_while_they_wait() {
    fn is_send<F: Send>(future: F) -> F {
        future
    }
    let mutex = Mutex::new(1);
    let semaphore = Semaphore::new(0);
    let (waker, told) = tell();
    let guard = mutex.lock().unwrap();
    let (mut lock, mut acquire) = (is_send(mutex.lock_async()), semaphore.acquire_async());
    drop(is_send(Arc::new(Semaphore::new(1)).acquire_owned_async()));
    assert_pending(poll_once(&mut lock), &waker);
    assert_pending(poll_once(&mut acquire), &waker);
    drop(guard);
    semaphore.add_permits(1);
    woken(&told);
    woken(&told);
    std::thread::scope(|s| {
        s.spawn(|| assert_eq!(*block_on_os_thread(lock).unwrap(), 1));
        s.spawn(|| drop(block_on_os_thread(acquire).unwrap()));
    });
    assert!(mutex.try_lock().is_ok());
    assert_eq!(semaphore.available_permits(), 1);
}
