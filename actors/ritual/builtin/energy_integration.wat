;; energy_integration: more energy than can be held is gathered in.      ABI: sangha-1
;;
;;   total = the sum of all energies
;;   level = level × 4.5 / total          for each, where the total is above 4.5; rounded to six decimals
;;
;; All shrink alike, so their proportions stay. The total is 4.5 then, and with 256 roundings of at most half a millionth
;; each still below 5, above which this ritual is suggested. The integration "energy integration" is noted (once, and where
;; there is room), and grounding is asked for. Where the total is not above 4.5 there is nothing to gather: all stays.
;;
;;   six energies of 0.9 (total 5.4)  →  six of 0.75
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "\"energy integration\"")
  (data (i32.const 1056) "{\"state\":{\"energies\":{\00")
  (data (i32.const 1088) "},\"integrations\":\00")
  (data (i32.const 1120) "},\"integration_required\":[\"grounding\"],\"log\":[\"the energies are gathered\"]}\00")
  (data (i32.const 1216) "{\"state\":{},\"log\":[\"there is no surplus to gather\"]}\00")

  ;;@include json.wat

  (func $total (param $energies i32) (result f64)
    (local $p i32) (local $value i32) (local $total f64)
    (local.set $p (call $first (local.get $energies)))
    (loop $next
      (if (i32.eqz (local.get $p)) (then (return (local.get $total))))
      (local.set $value (call $value (local.get $p)))
      (local.set $total (f64.add (local.get $total) (call $number (local.get $value))))
      (local.set $p (call $after (call $skip (local.get $value))))
      (br $next))
    unreachable)

  ;; The energies in their order, each as 4.5 is to the total.
  (func $put_gathered (param $energies i32) (param $total f64)
    (local $p i32) (local $value i32)
    (local.set $p (call $first (local.get $energies)))
    (loop $next
      (local.set $value (call $value (local.get $p)))
      (call $put_name (local.get $p))
      (call $put_level (f64.div (f64.mul (call $number (local.get $value)) (f64.const 4.5)) (local.get $total)))
      (local.set $p (call $after (call $skip (local.get $value))))
      (if (local.get $p)
        (then
          (call $put_byte (i32.const 44))
          (br $next)))))

  ;; The integrations, and "energy integration" behind them unless it is there or they are full.
  (func $put_integrations (param $noted i32)
    (call $put_value (local.get $noted))
    (if (call $has (local.get $noted) (i32.const 1024)) (then (return)))
    (if (i32.ge_u (call $count (local.get $noted)) (global.get $entries_max)) (then (return)))
    (global.set $at (i32.sub (global.get $at) (i32.const 1)))              ;; over the closing bracket
    (if (call $first (local.get $noted)) (then (call $put_byte (i32.const 44))))
    (call $put_value (i32.const 1024))
    (call $put_byte (i32.const 93)))

  (func (export "execute") (param $input i32) (param $length i32) (result i64)
    (local $before i32) (local $levels i32) (local $sum f64)
    (local.set $before (call $member (local.get $input) (global.get $state)))
    (local.set $levels (call $member (local.get $before) (global.get $energies)))
    (local.set $sum (call $total (local.get $levels)))

    ;; A level may be written longer than it was ("1" becomes eight characters): at most eight times as long.
    (call $begin (i32.add (i32.mul (local.get $length) (i32.const 8)) (i32.const 512)))
    (if (f64.le (local.get $sum) (f64.const 4.5))
      (then
        (call $say (i32.const 1216))
        (return (call $answer))))
    (call $say (i32.const 1056))
    (call $put_gathered (local.get $levels) (local.get $sum))
    (call $say (i32.const 1088))
    (call $put_integrations (call $member (local.get $before) (global.get $integrations)))
    (call $say (i32.const 1120))
    (call $answer)))
