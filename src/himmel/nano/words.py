"""The words that nano's image tokens are made of, and an everyday word for each label of the tower's classifier."""

from functools import cache
from typing import Final

from himmel.nano.catalogue import COLOURS, EMOJI, NUMBERS, PHOTOGRAPHS, SHAPES

NOTHING: Final = "."
"""Stands where there is nothing to say."""

# ImageNet's labels by their places among the thousand. Labels that are left out have no everyday word of their own.
_LABELS: Final = """
0-1 fish; 2-4 shark; 5-6 fish; 7-8 chicken; 9-16 bird; 17-20 bird; 21-23 eagle; 24 owl; 25-29 lizard; 30-32 frog;
33-37 turtle; 38-48 lizard; 49-50 crocodile; 51 dinosaur; 52-68 snake; 69 shell; 70 spider; 71 scorpion; 72-77 spider;
78 insect; 79 worm; 80-83 bird; 84 peacock; 85-86 bird; 87-90 parrot; 91-95 bird; 96 bird; 97-98 duck; 99 goose;
100 swan; 101 elephant; 102 hedgehog; 103 beaver; 104 kangaroo; 105 koala; 106 bear; 107 octopus; 108-109 flower;
110-111 worm; 112 shell; 113-115 snail; 116-117 shell; 118-121 crab; 122-124 lobster; 125 crab; 126 insect;
127-129 bird; 130 flamingo; 131-143 bird; 144 bird; 145 penguin; 146 bird; 147-148 whale; 149-150 seal; 151-268 dog;
269-272 wolf; 273-275 dog; 276 dog; 277-280 fox; 281-285 cat; 286 lion; 287 cat; 288-290 leopard; 291 lion; 292 tiger;
293 leopard; 294-297 bear; 298-299 squirrel; 300-307 beetle; 308 fly; 309 bee; 310 ant; 311-318 insect;
319-320 dragonfly; 321-326 butterfly; 327-329 starfish; 330-332 rabbit; 333 hamster; 334 hedgehog; 335-336 squirrel;
337 beaver; 338 hamster; 339 horse; 340 zebra; 341-343 pig; 344 hippo; 345-346 cow; 347 bison; 348-350 sheep;
351-353 deer; 354 camel; 355 llama; 356-360 otter; 361 skunk; 362 badger; 363 turtle; 364 sloth; 365-368 monkey;
369-384 monkey; 366 gorilla; 385-386 elephant; 387-388 panda; 389-397 fish; 398 toy; 399-400 dress; 401 piano;
402 guitar; 403 ship; 404 airplane; 405 balloon; 406 church; 407 ambulance; 408 truck; 409 clock; 410 bee; 411 dress;
412 basket; 413 gun; 414 backpack; 415 bread; 416 chair; 417 balloon; 418 pen; 419 pill; 420 guitar; 421 fence;
422 wheel; 423-424 chair; 425 barn; 426 clock; 427 barrel; 428 cart; 429-430 ball; 431 bed; 432 trumpet; 433 hat;
434 towel; 435 bathtub; 436 car; 437 tower; 438 cup; 439 hat; 440 bottle; 441 beer; 442 church; 443 shirt; 444 bicycle;
445 dress; 446 book; 447 telescope; 448-449 house; 450 sled; 451 necklace; 452 hat; 453-454 books; 455 bottle; 456 bow;
457 bow; 458 sign; 459 dress; 460 sea; 461 shield; 462 broom; 463 bucket; 464 belt; 465 coat; 466 train; 467 meat;
468 taxi; 469 pot; 470 candle; 471 cannon; 472 canoe; 473 knife; 474 coat; 475 car; 476 carousel; 477 tools; 478 box;
479 wheel; 480 machine; 481-482 radio; 483 castle; 484 boat; 485 radio; 486 violin; 487 phone; 488 chain; 489 fence;
490 shield; 491 saw; 492 box; 493 furniture; 494 bell; 495 furniture; 496 sock; 497 church; 498 theater; 499 knife;
500 mountain; 501 coat; 502 shoe; 503 bottle; 504 cup; 505 teapot; 506 spiral; 507 lock; 508 keyboard; 509 candy;
510 ship; 511 car; 512 knife; 513 trumpet; 514 boot; 515 hat; 516 bed; 517 crane; 518 helmet; 519 box; 520 bed; 521 pot;
522 ball; 523 stick; 524 shield; 525 river; 526 desk; 527 computer; 528 telephone; 529 cloth; 530 clock; 531 watch;
532 table; 533 cloth; 534 machine; 535 wheel; 536 harbor; 537 sled; 538 building; 539 carpet; 540 ship; 541 drum;
542 stick; 543 weight; 544 pot; 545 fan; 546 guitar; 547 train; 548 television; 549 envelope; 550 machine; 551 powder;
552 feather; 553 furniture; 554 ship; 555 truck; 556 fire; 557 flag; 558 flute; 559 chair; 560 helmet; 561 truck;
562 fountain; 563 pen; 564 bed; 565 train; 566 trumpet; 567 pan; 568 coat; 569 truck; 570 mask; 571 machine; 572 cup;
573 car; 574 ball; 575 car; 576 boat; 577 drum; 578 dress; 579 piano; 580 garden; 581 car; 582 shop; 583 machine;
584 hair; 585 bottle; 586 truck; 587 hammer; 588 basket; 589 hair; 590 phone; 591 cloth; 592 computer; 593 harmonica;
594 harp; 595 tractor; 596 axe; 597 gun; 598 television; 599 bee; 600 hook; 601 dress; 602 bar; 603 horse;
604 hourglass; 605 phone; 606 iron; 607 pumpkin; 608 trousers; 609 car; 610 shirt; 611 puzzle; 612 bicycle;
613 joystick; 614 dress; 615 knee; 616 rope; 617 coat; 618 spoon; 619 lamp; 620 computer; 621 machine; 622 camera;
623 knife; 624 books; 625 boat; 626 fire; 627 car; 628 ship; 629 lipstick; 630 shoe; 631 bottle; 632 radio;
633 mirror; 634 wood; 635 compass; 636 bag; 637 box; 638-639 dress; 640 street; 641 drum; 642 piano; 643 mask;
644 match; 645 pole; 646 maze; 647 cup; 648 furniture; 649 stones; 650 microphone; 651 oven; 652 soldier; 653 milk;
654 bus; 655 skirt; 656 car; 657 rocket; 658 glove; 659 bowl; 660 house; 661 car; 662 computer; 663 building;
664 computer; 665 motorcycle; 666 bowl; 667 hat; 668 building; 669 bed; 670 scooter; 671 bicycle; 672 tent; 673 mouse;
674 mouse; 675 truck; 676 mask; 677 nail; 678 neck; 679 necklace; 680 baby; 681 computer; 682 tower; 683 flute;
684 whistle; 685 clock; 686 machine; 687 church; 688 computer; 689 skirt; 690 cow; 691 mask; 692 package; 693 paddle;
694 wheel; 695 lock; 696 paintbrush; 697 pajamas; 698 building; 699 flute; 700 paper; 701 parachute; 702 bar;
703 bench; 704 street; 705 train; 706 garden; 707 telephone; 708 statue; 709 pencil; 710 pencil; 711 bottle; 712 glass;
713 machine; 714 guitar; 715 hat; 716 fence; 717 truck; 718 sea; 719 pig; 720 pill; 721 pillow; 722 ball; 723 windmill;
724 ship; 725 jug; 726 tools; 727 building; 728 bag; 729 plate; 730 tractor; 731 tools; 732 camera; 733 pole; 734 car;
735 coat; 736 table; 737 bottle; 738 pot; 739 pot; 740 drill; 741 carpet; 742 printer; 743 building; 744 rocket;
745 projector; 746 ball; 747 ball; 748 bag; 749 feather; 750 blanket; 751 car; 752 racket; 753 heater; 754 radio;
755 telescope; 756 barrel; 757 bus; 758 fishing; 759 camera; 760 fridge; 761 remote; 762 restaurant; 763-764 gun;
765 chair; 766 meat; 767 eraser; 768 ball; 769 ruler; 770 shoe; 771 safe; 772 pin; 773 salt; 774 sandal; 775 dress;
776 saxophone; 777 sword; 778 scale; 779 bus; 780 boat; 781 scoreboard; 782 television; 783 screw; 784 screwdriver;
785 belt; 786 machine; 787 shield; 788 shoe; 789 door; 790 basket; 791 cart; 792 shovel; 793 hat; 794 curtain;
795 skis; 796 mask; 797 bed; 798 ruler; 799 door; 800 machine; 801 mask; 802 sled; 803 truck; 804 soap; 805 ball;
806 sock; 807 roof; 808 hat; 809 bowl; 810 keyboard; 811 heater; 812 rocket; 813 spoon; 814 boat; 815 spider;
816 wool; 817 car; 818 lamp; 819 stage; 820 train; 821 bridge; 822 drum; 823 doctor; 824 scarf; 825 wall; 826 watch;
827 oven; 828 pan; 829 train; 830 bed; 831 couch; 832 building; 833 submarine; 834 suit; 835 clock; 836-837 glasses;
838 bottle; 839 bridge; 840 broom; 841 shirt; 842 shorts; 843 swing; 844 switch; 845 syringe; 846 lamp; 847 tank;
848 radio; 849 teapot; 850 bear; 851 television; 852 ball; 853 roof; 854 curtain; 855 cup; 856 tractor; 857 chair;
858 roof; 859 toaster; 860 shop; 861 toilet; 862 lamp; 863 statue; 864 truck; 865 toy; 866 tractor; 867 truck;
868 plate; 869 coat; 870 bicycle; 871 boat; 872 tripod; 873 building; 874 bus; 875 trumpet; 876 bathtub; 877 gate;
878 keyboard; 879 umbrella; 880 bicycle; 881 piano; 882 vacuum; 883 vase; 884 church; 885 cloth; 886 machine;
887 priest; 888 bridge; 889 violin; 890 ball; 891 waffle; 892 clock; 893 wallet; 894 furniture; 895 airplane; 896 sink;
897 machine; 898 bottle; 899 jug; 900 tower; 901 jug; 902 whistle; 903 hair; 904-905 window; 906 tie; 907 bottle;
908 airplane; 909 pan; 910 spoon; 911 wool; 912 fence; 913 ship; 914 boat; 915 tent; 916 text; 917 book; 918 puzzle;
919 sign; 920 light; 921 book; 922 menu; 923 plate; 924 salad; 925-926 soup; 927 cake; 928-929 ice; 930 bread;
931 bagel;
932 bread; 933 burger; 934 sausage; 935 potato; 936 cabbage; 937 broccoli; 938 cabbage; 939 cucumber; 940-942 pumpkin;
943 cucumber; 944 vegetable; 945 pepper; 946 flower; 947 mushroom; 948 apple; 949 strawberry; 950 orange; 951 lemon;
952 fruit; 953 pineapple; 954 banana; 955-957 fruit; 958 hay; 959 pasta; 960 chocolate; 961 dough; 962 meat; 963 pizza;
964 cake; 965 taco; 966 wine; 967 coffee; 968 cup; 969 milk; 970 mountain; 971 bubble; 972 mountain; 973 coral;
974 volcano; 975 lake; 976 sea; 977-978 beach; 979 valley; 980 volcano; 981 player; 982 man; 983 diver; 984-986 flower;
987 corn; 988 nut; 989 berries; 990 nut; 991-997 mushroom; 998 corn; 999 paper
"""
NUM_LABELS: Final = 1000


@cache
def label_words() -> tuple[str, ...]:
    """An everyday word for each of the classifier's labels, in their order; "" where there is none."""
    words = [""] * NUM_LABELS
    for entry in _LABELS.replace("\n", " ").split(";"):
        places, word = entry.split()
        first, _, last = places.partition("-")
        words[int(first) : int(last or first) + 1] = [word] * (int(last or first) - int(first) + 1)
    return tuple(words)


@cache
def image_words() -> tuple[str, ...]:
    """All words that image tokens mix, each once; `NOTHING` first.

    Names of the catalogue's held-out emoji are here only where a label of the classifier has them: nothing teaches
    them to the projector.
    """
    scenes = [photograph.scene for photograph in PHOTOGRAPHS["train"].values()]
    labels = [word for word in label_words() if word]
    return tuple(dict.fromkeys([NOTHING, *COLOURS, *SHAPES, *NUMBERS, *scenes, *EMOJI, *labels]))
