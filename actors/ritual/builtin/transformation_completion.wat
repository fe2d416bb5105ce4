;; transformation_completion: what has been under way longest is completed.      ABI: sangha-1
;;
;;   completed = the oldest (open − 2) transformations, but at least one
;;
;; Each of them leaves the transformations and joins the integrations, in the order in which they were opened; one that is
;; there already does not join twice. So at most two stay open, above which this ritual is suggested. A state holds at most
;; 256 integrations: what finds no room stays open, and the log says so. Nothing else changes. (sangha-1, because the codex
;; ABI has no words for transformations.)
;;
;;   transformations a, b, c, d; integrations x  →  transformations c, d; integrations x, a, b
;;   transformations a                           →  none; integrations a
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "{\"state\":{\"integrations\":\00")
  (data (i32.const 1056) ",\"transformations\":[\00")
  (data (i32.const 1088) "]},\"integration_required\":[\00")
  (data (i32.const 1152) "],\"log\":[\"completed what was open longest\"]}\00")
  (data (i32.const 1216) "],\"log\":[\"nothing is under way\"]}\00")
  (data (i32.const 1280) "],\"log\":[\"no room for more integrations: some stays open\"]}\00")

  ;;@include json.wat

  (global $room (mut i32) (i32.const 0))       ;; integrations that still fit
  (global $stays (mut i32) (i32.const 0))      ;; where the transformations begin that stay open, or 0

  (func $goal (param $open i32) (result i32)
    (if (i32.gt_u (local.get $open) (i32.const 3)) (then (return (i32.sub (local.get $open) (i32.const 2)))))
    (i32.ne (local.get $open) (i32.const 0)))

  ;; Whether a name stands in the array of transformations before this place.
  (func $is_repeated (param $transformations i32) (param $name i32) (result i32)
    (local $p i32)
    (local.set $p (call $first (local.get $transformations)))
    (loop $next
      (if (i32.eq (local.get $p) (local.get $name)) (then (return (i32.const 0))))
      (if (call $same (local.get $p) (local.get $name)) (then (return (i32.const 1))))
      (local.set $p (call $after (call $skip (local.get $p))))
      (br $next))
    unreachable)

  ;; Writes the integrations with so many of the oldest transformations behind them, as far as there is room; says how many
  ;; were completed, and remembers the first that stays.
  (func $complete (param $noted i32) (param $transformations i32) (param $goal i32) (result i32)
    (local $p i32) (local $completed i32) (local $comma i32)
    (local.set $comma (call $first (local.get $noted)))
    (call $put_value (local.get $noted))
    (global.set $at (i32.sub (global.get $at) (i32.const 1)))              ;; over the closing bracket
    (local.set $p (call $first (local.get $transformations)))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $completed) (local.get $goal)))
        (if (i32.eqz
              (i32.or
                (call $has (local.get $noted) (local.get $p))
                (call $is_repeated (local.get $transformations) (local.get $p))))
          (then
            (br_if $end (i32.eqz (global.get $room)))
            (global.set $room (i32.sub (global.get $room) (i32.const 1)))
            (if (local.get $comma) (then (call $put_byte (i32.const 44))))
            (local.set $comma (i32.const 1))
            (call $put_value (local.get $p))))
        (local.set $completed (i32.add (local.get $completed) (i32.const 1)))
        (local.set $p (call $after (call $skip (local.get $p))))
        (br $next)))
    (call $put_byte (i32.const 93))
    (global.set $stays (local.get $p))
    (local.get $completed))

  ;; The elements of an array from this one on.
  (func $put_rest (param $p i32)
    (loop $next
      (if (local.get $p)
        (then
          (call $put_value (local.get $p))
          (local.set $p (call $after (call $skip (local.get $p))))
          (if (local.get $p) (then (call $put_byte (i32.const 44))))
          (br $next)))))

  ;; So many elements of an array from its first on.
  (func $put_first (param $p i32) (param $count i32)
    (loop $next
      (if (local.get $count)
        (then
          (call $put_value (local.get $p))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (if (local.get $count) (then (call $put_byte (i32.const 44))))
          (local.set $p (call $after (call $skip (local.get $p))))
          (br $next)))))

  (func $summary (param $goal i32) (param $completed i32) (result i32)
    (if (i32.lt_u (local.get $completed) (local.get $goal)) (then (return (i32.const 1280))))
    (select (i32.const 1152) (i32.const 1216) (local.get $goal)))

  (func (export "execute") (param $input i32) (param $length i32) (result i64)
    (local $before i32) (local $noted i32) (local $under_way i32) (local $goal i32) (local $completed i32)
    (local.set $before (call $member (local.get $input) (global.get $state)))
    (local.set $noted (call $member (local.get $before) (global.get $integrations)))
    (local.set $under_way (call $member (local.get $before) (global.get $transformations)))
    (local.set $goal (call $goal (call $count (local.get $under_way))))
    (global.set $room (i32.sub (global.get $entries_max) (call $count (local.get $noted))))

    ;; Room for all of the input, the completed ones twice more, and the text around them.
    (call $begin (i32.add (i32.mul (local.get $length) (i32.const 3)) (i32.const 512)))
    (call $say (i32.const 1024))
    (local.set $completed (call $complete (local.get $noted) (local.get $under_way) (local.get $goal)))
    (call $say (i32.const 1056))
    (call $put_rest (global.get $stays))
    (call $say (i32.const 1088))
    (call $put_first (call $first (local.get $under_way)) (local.get $completed))
    (call $say (call $summary (local.get $goal) (local.get $completed)))
    (call $answer)))
