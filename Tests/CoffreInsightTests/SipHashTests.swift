import Testing

@testable import CoffreInsight

struct SipHashTests {
    /// Key 00…0f, inputs of 0, 1, 2 … bytes 00, 01, 02 …: the vectors of the paper's reference implementation.
    @Test func theVectorsOfThePaper() {
        let hash = SipHash(key0: 0x0706_0504_0302_0100, key1: 0x0f0e_0d0c_0b0a_0908)
        let expected: [UInt64] = [
            0x726f_db47_dd0e_0e31, 0x74f8_39c5_93dc_67fd, 0x0d6c_8009_d9a9_4f5a, 0x8567_6696_d7fb_7e2d,
            0xcf27_94e0_2771_87b7, 0x1876_5564_cd99_a68d, 0xcbc9_466e_58fe_e3ce, 0xab02_00f5_8b01_d137,
            0x93f5_f579_9a93_2462,
        ]
        for (count, sum) in expected.enumerated() {
            let bytes = (0..<count).map { UInt8($0) }
            #expect(bytes.withUnsafeBufferPointer { hash.hash($0, 0) } == sum, "\(count) bytes")
        }
        // The example of the paper's appendix A: 15 bytes.
        let bytes = (0..<15).map { UInt8($0) }
        #expect(bytes.withUnsafeBufferPointer { hash.hash($0, 0) } == 0xa129_ca61_49be_45e5)
    }

    @Test func twoNamesAreNotOne() {
        let hash = SipHash(key0: 1, key1: 2)
        #expect(hash("ab", "c") != hash("a", "bc"))
        #expect(hash("ab") != hash("ab", ""))
    }
}
