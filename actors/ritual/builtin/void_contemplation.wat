;; void_contemplation: the Self empties itself, and something is seen there.      ABI: codex
;;
;;   share = 0.1 + 0.1 × chance                   chance in [0, 1): the first draw of the run
;;   Self  = Self + (1 − Self) × share
;;   Light, Shadow = each × (1 − share)           where they are active
;;
;; The Self gains a tenth to a fifth of what it lacks; Light and Shadow, where they are there, fade by the same share. What is
;; seen is chance too, a second draw: below 1/3 the symbol "still water", below 2/3 "night sky", else "open circle".
;; Chance is seeded by the id of the run: the same run always draws the same.
;;
;;   Self 0.5, Light 0.8, and a first draw of 0.5 (share 0.15)  →  Self 0.575, Light 0.68
;;
;; The Self has to be active (> 0); else the ritual fails and changes nothing. The resonance is the share, five times: 0.5 … 1.
(module
  (import "codex" "log" (func $log (param i32 i32)))
  (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))
  (import "codex" "set_archetype_activation" (func $set (param i32 i32 f64)))
  (import "codex" "add_symbol" (func $add_symbol (param i32 i32)))
  (import "codex" "get_random" (func $chance (result f64)))

  (memory (export "memory") 1)
  (data (i32.const 0) "Self")
  (data (i32.const 8) "Light")
  (data (i32.const 16) "Shadow")
  (data (i32.const 32) "still water")
  (data (i32.const 48) "night sky")
  (data (i32.const 64) "open circle")
  (data (i32.const 80) "the Self rests in the void")
  (data (i32.const 112) "the Self must be active")

  (global $share (mut f64) (f64.const 0))

  ;; An archetype fades by the share, where it is active.
  (func $fade (param $name i32) (param $length i32)
    (local $strength f64)
    (local.set $strength (call $get (local.get $name) (local.get $length)))
    (if (f64.gt (local.get $strength) (f64.const 0))
      (then
        (call $set (local.get $name) (local.get $length)
          (f64.mul (local.get $strength) (f64.sub (f64.const 1) (global.get $share)))))))

  (func $see (param $drawn f64)
    (if (f64.lt (f64.mul (local.get $drawn) (f64.const 3)) (f64.const 1))
      (then (call $add_symbol (i32.const 32) (i32.const 11)) (return)))
    (if (f64.lt (f64.mul (local.get $drawn) (f64.const 3)) (f64.const 2))
      (then (call $add_symbol (i32.const 48) (i32.const 9)) (return)))
    (call $add_symbol (i32.const 64) (i32.const 11)))

  (func (export "execute_ritual") (result i32)
    (local $self f64)
    (local.set $self (call $get (i32.const 0) (i32.const 4)))
    (if (f64.le (local.get $self) (f64.const 0))
      (then
        (call $log (i32.const 112) (i32.const 23))
        (return (i32.const 1))))

    (global.set $share (f64.add (f64.const 0.1) (f64.mul (f64.const 0.1) (call $chance))))
    (call $set (i32.const 0) (i32.const 4)
      (f64.add
        (local.get $self)
        (f64.mul (f64.sub (f64.const 1) (local.get $self)) (global.get $share))))
    (call $fade (i32.const 8) (i32.const 5))
    (call $fade (i32.const 16) (i32.const 6))
    (call $see (call $chance))
    (call $log (i32.const 80) (i32.const 26))
    (i32.const 0))

  (func (export "get_resonance") (result f64)
    (f64.mul (global.get $share) (f64.const 5))))
